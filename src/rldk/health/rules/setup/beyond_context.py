"""SET003 beyond-context: prompts and completions together may exceed the context of the model or of vLLM.

Invariant: it is info, since prompts may be shorter than their limit.
"""

from typing import Any

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import GENERATING, SetupRule

__all__ = ["BeyondContext"]


class BeyondContext(SetupRule):
    """Prompts and completions together may exceed the context of the model or of vLLM.

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
    Lower the completion limit, or raise vLLM's context.

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
                "the limits do not fit together",
                (
                    Remedy("lower `max_completion_length`", scale=0.5),
                    Remedy("raise `vllm_max_model_length`", scale=2),
                ),
            )
        ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
