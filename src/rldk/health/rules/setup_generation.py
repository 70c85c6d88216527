"""SET002 to SET005, SET009 and SET010: options of sampling that fit neither each other nor the loss.

Invariant: as in `setup`.
"""

from typing import Any

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.pending import NotCheckable
from rldk.health.rules.setup_rule import RECORD, SetupRule

__all__ = ["RULES"]

GENERATING = frozenset({"grpo", "rloo"})


class UncoveredEos(NotCheckable):
    """The model ends its answers with a token that the trainer does not take for an end.

    ## What it looks for
    EOS ids of the generation configuration other than that of the tokenizer.

    ## Why it matters
    The trainer takes whole answers for cut ones; with `mask_truncated_completions` it trains on none of them.

    ## How it decides
    It needs the tokenizer, which the record of a run does not hold: it is listed as not checked. While the
    run goes on, eos-mismatch tells it from lengths.

    ## What looks alike but is healthy
    A chat model with several EOS ids that always ends with the one of its tokenizer.

    ## What to do
    Set "tokenizer.eos_token" to the token that ends a turn, before the trainer is made.

    ## Sources
    trl#7039 (Phi-3.5: 97% taken for cut that had ended).
    """

    code, name, severity = "SET002", "uncovered-eos", Severity.WARNING
    algorithms = GENERATING
    missing = (
        "compare generation_config.eos_token_id with tokenizer.eos_token_id; the record holds no tokenizer"
    )


class BeyondContext(SetupRule):
    """Prompts and completions together may exceed what the model or vLLM can take.

    ## What it looks for
    A completion limit, with the prompt limit where there is one, above the context of vLLM or of the model.

    ## Why it matters
    Completions are cut earlier than configured, or generation stops with an error in mid-run.

    ## How it decides
    `max_completion_length` plus `max_prompt_length` (TRL 0.23) is above `vllm_max_model_length` or
    `max_position_embeddings` of the model. Lengths of the prompts themselves are not known.

    ## What looks alike but is healthy
    Prompts much shorter than their limit; models that go beyond their trained positions by scaling.

    ## What to do
    Lower the completion limit or raise that of vLLM.

    ## Sources
    trl#2923 (a hang).
    """

    code, name = "SET003", "beyond-context"
    algorithms = GENERATING
    reads = ("max_completion_length",)

    def inspect(self) -> Verdict | None:
        completion = self.context.number("max_completion_length")
        if completion is None:
            return None
        needed = completion + (self.context.number("max_prompt_length") or 0)
        limits = {
            "vllm_max_model_length": self.context.number("vllm_max_model_length"),
            "max_position_embeddings": _number(self.context.model.get("max_position_embeddings")),
        }
        for name, limit in limits.items():
            if limit is not None and 0 < limit < needed:
                return self.info(
                    f"prompt and completion may take {needed:.0f} tokens, above {name} = {limit:.0f}",
                    {"needed": needed, name: limit},
                )
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "limits that do not fit each other",
                (
                    Remedy("lower `max_completion_length`", scale=0.5),
                    Remedy("raise `vllm_max_model_length`", scale=2),
                ),
            )
        ]


class BiasedSampling(SetupRule):
    """Sampling drops part of the distribution, which the importance-sampling correction does not know.

    ## What it looks for
    `top_p` below 1, `top_k` above 0 or `min_p`, with vLLM and its correction on.

    ## Why it matters
    The ratio of trainer to rollout probability is then off by the mass that was kept: at 0.9 kept by 10%.

    ## How it decides
    By these options alone.

    ## What looks alike but is healthy
    The same without vLLM: there are no such ratios then.

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


class FewGenerations(SetupRule):
    """So few completions a prompt that half of the groups and more teach nothing.

    ## What it looks for
    `num_generations` below 4.

    ## Why it matters
    With rewards of 0 and 1 and groups of two, at least half of the groups are without advantage whatever the
    success rate; see zero-advantage.

    ## How it decides
    By this option alone. RLOO's default is 2.

    ## What looks alike but is healthy
    Continuous rewards, whose groups always have a spread.

    ## What to do
    Raise `num_generations`.

    ## Sources
    p^2 + (1-p)^2 is at least 0.5; RLOOConfig of TRL.
    """

    code, name = "SET005", "few-generations"
    algorithms = GENERATING
    reads = ("num_generations",)

    def inspect(self) -> Verdict | None:
        group = self.context.number("num_generations")
        if group is None or group >= 4:
            return None
        share = 0.5 ** (group - 1)
        return self.info(
            f"with {group:.0f} completions a prompt and rewards of 0 or 1, at least {share:.0%} of the "
            "groups have no advantage",
            {"num_generations": group},
        )

    def causes(self) -> list[Cause]:
        return [Cause("small groups", (Remedy("set `num_generations` to 8", up_to=4),))]


class MaskedTruncation(Rule):
    """Cut completions are masked, and most are cut: little is left to train on.

    ## What it looks for
    `mask_truncated_completions` with more than half of the completions cut.

    ## Why it matters
    Masked completions have no gradient; the more are cut the less is trained, and nothing shows it.

    ## How it decides
    The mean of the share of cut completions over ten records is above 0.5, from the fifth on: warning.

    ## What looks alike but is healthy
    Long answers of which few are cut, which is what the option is for.

    ## What to do
    Raise the completion limit; do not mask before.

    ## Sources
    TRL's documentation; trl#7039.
    """

    code, name, severity = "SET009", "masked-truncation", Severity.WARNING
    algorithms = GENERATING
    needs = ("truncated_frac",)
    enable = "train with GRPO or RLOO of TRL, which log completions/clipped_ratio"

    class Options(RuleOptions, frozen=True):
        """Thresholds of masked-truncation."""

        share: float = 0.5
        """Share of cut completions above which."""

    def start(self) -> None:
        self.cut = self.chart.track("truncated_frac")
        self.masks = self.context.option("mask_truncated_completions") is True

    def checkable(self) -> str | None:
        return None if self.context.options else RECORD

    def observe(self, at: Observation) -> Verdict | None:
        cut = self.cut
        if not self.masks or cut.count < 5 or cut.ema10 <= self.options.share:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"{cut.ema10:.0%} of the completions are cut, and cut ones are masked: little is trained",
            evidence={"truncated_frac": cut.ema10, "mask_truncated_completions": True},
            confidence=0.85,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the completion limit is too small for this model",
                (
                    Remedy("raise `max_completion_length`", scale=2),
                    Remedy("set `mask_truncated_completions=False`"),
                ),
            )
        ]


class LengthBias(SetupRule):
    """A loss that averages within each completion favours long wrong answers.

    ## What it looks for
    `loss_type='grpo'` with answers of 1,000 tokens and more allowed.

    ## Why it matters
    A wrong answer costs less per token the longer it is, so wrong answers grow: see length-runaway.

    ## How it decides
    By these options. It was the default of early TRL.

    ## What looks alike but is healthy
    Short answers, where the bias does not matter.

    ## What to do
    Use a loss that averages over all tokens.

    ## Sources
    Dr. GRPO (arXiv 2503.20783); the help text of TRL, which does not recommend it.
    """

    code, name = "SET010", "length-bias"
    algorithms = frozenset({"grpo"})
    reads = ("loss_type", "max_completion_length")

    def inspect(self) -> Verdict | None:
        limit = self.context.number("max_completion_length")
        if self.context.option("loss_type") != "grpo" or limit is None or limit < 1000:
            return None
        return self.info(
            f"the loss averages within each completion, of up to {limit:.0f} tokens: wrong ones may grow",
            {"loss_type": "grpo", "max_completion_length": limit},
        )

    def causes(self) -> list[Cause]:
        return [Cause("the loss of the first paper", (Remedy("set `loss_type='dapo'`"),))]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


RULES: tuple[type[Rule], ...] = (
    UncoveredEos,
    BeyondContext,
    BiasedSampling,
    FewGenerations,
    MaskedTruncation,
    LengthBias,
)
"""SET002 to SET005, SET009 and SET010."""
