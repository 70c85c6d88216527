"""SET004 biased-sampling: sampling drops a part of the distribution, and the importance-sampling correction
ignores that.

Invariant: it is info, since the options alone do not show how large the bias is.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["BiasedSampling"]


class BiasedSampling(SetupRule):
    """Sampling drops a part of the distribution, and the importance-sampling correction ignores that.

    ## What it looks for
    `top_p` below 1, `top_k` above 0 or `min_p`, with vLLM and its correction on.

    ## Why it matters
    The ratio of trainer to rollout probability is then wrong by the dropped mass: 10% at `top_p=0.9`.

    ## How it decides
    By these options alone.

    ## What looks alike but is healthy
    The same options without vLLM: then there is no such ratio.

    ## What to do
    Sample from the whole distribution while training.

    ## Sources
    trl#6789.
    """

    code, name = "SET004", "biased-sampling"
    algorithms = frozenset({"grpo"})
    reads = ("use_vllm", "vllm_importance_sampling_correction")

    def inspect(self) -> Verdict | None:
        option, number = self.context.option, self.context.number
        if option("use_vllm") is not True or option("vllm_importance_sampling_correction") is not True:
            return None
        top_p, top_k, min_p = number("top_p"), number("top_k"), number("min_p")
        cut = {
            name: value
            for name, value, biased in (
                ("top_p", top_p, top_p is not None and top_p < 1),
                ("top_k", top_k, top_k is not None and top_k > 0),
                ("min_p", min_p, min_p is not None and min_p > 0),
            )
            if biased
        }
        if not cut:
            return None
        texts = ", ".join(f"{name} = {value:g}" for name, value in cut.items())
        return self.info(f"{texts} biases the correction of the difference between vLLM and trainer", cut)

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "sampling from a part of the distribution",
                (
                    Remedy("set `top_p` to 1.0", up_to=1.0),
                    Remedy("set `top_k` to 0", down_to=0),
                    Remedy("set `min_p=None`"),
                ),
            )
        ]
