"""SET007 hidden-non-finite: fp16 may overflow, and the log is set to hide a loss that is NaN.

Invariant: the default filter alone is never reported; only together with fp16 it is info.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["HiddenNonFinite"]


class HiddenNonFinite(SetupRule):
    """fp16 may overflow, and the log is set to hide a loss that is NaN.

    ## What it looks for
    `fp16` together with `logging_nan_inf_filter`.

    ## Why it matters
    The trainer then logs 0 or an average where the loss was NaN, and the curve looks healthy.

    ## How it decides
    By these options. The filter alone is the default and is not reported: non-finite judges gradient norms.

    ## What looks alike but is healthy
    Most runs with the filter on: none of their losses is NaN.

    ## What to do
    Turn the filter off, or train in bf16.

    ## Sources
    transformers' Trainer; transformers#13619.
    """

    code, name = "SET007", "hidden-non-finite"
    reads = ("fp16", "logging_nan_inf_filter")

    def inspect(self) -> Verdict | None:
        option = self.context.option
        if option("fp16") is not True or option("logging_nan_inf_filter") is not True:
            return None
        return self.info(
            "training in fp16 may give NaN losses, and the log would not show them",
            {"fp16": True, "logging_nan_inf_filter": True},
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the trainer's filter of NaN losses is on by default",
                (
                    Remedy("set `logging_nan_inf_filter=False`"),
                    Remedy("set `bf16=True` in place of `fp16`"),
                ),
            )
        ]
