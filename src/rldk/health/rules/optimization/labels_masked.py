"""OPT006 labels-masked: every label is masked: nothing is trained, and the log shows a perfect loss of 0.

Invariant: only losses of supervised training are judged, and with an unknown algorithm and no token accuracy
the finding is info.
"""

from math import isfinite

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import scored_completions
from rldk.health.tracks import Streak

__all__ = ["LabelsMasked", "LabelsMaskedOptions"]


class LabelsMaskedOptions(RuleOptions, frozen=True):
    """Thresholds of labels-masked."""

    records: int = 2
    """Records in a row."""


class LabelsMasked(Rule[LabelsMaskedOptions]):
    """Every label is masked: nothing is trained, and the log shows a perfect loss of 0.

    ## What it looks for
    A loss of exactly 0 together with a token accuracy of 0, or with a gradient of 0 or NaN.

    ## Why it matters
    The model does not change, and the loss curve looks like success.

    ## How it decides
    Two records in a row: critical. The entropy, where it is logged, must be finite; otherwise the weights are
    NaN, which look the same in loss, gradient norm and accuracy (see non-finite).

    ## What looks alike but is healthy
    A set learned by heart: its accuracy is 1. A console that rounds small losses to 0: there the loss fell
    to 0 step by step.

    ## What to do
    Decode the labels that are not -100 of one batch. Raise `max_length`; check the template.

    ## Sources
    trl#6668, trl#3927, trl#6025, trl#6320, trl#1053; measured with TRL 0.23 and 1.16, which drops
    such rows and refuses to train on nothing.
    """

    code, name, severity = "OPT006", "labels-masked", Severity.CRITICAL
    needs = ("loss",)
    algorithms = frozenset({"sft", "gkd", "trainer"})
    enable = "log the loss"
    answers = ("loss-near-zero",)

    def start(self) -> None:
        self.streak = Streak()
        self.tokens = self.chart.track("num_tokens")
        self.last = 1.0

    def observe(self, at: Observation) -> Verdict | None:
        values = at.values
        loss = values["loss"]
        if loss != 0.0:
            self.streak.count = 0
            if loss is not None:
                self.last = loss
            return None
        if self.streak.feed(self._masked(at), at.step) < self.options.records:
            return None
        accuracy, gradient = values.get("token_accuracy_mean"), values.get("grad_norm")
        known = accuracy is not None or self.context.algorithm is not None
        return Verdict(
            severity=Severity.CRITICAL if known else Severity.INFO,
            message=f"the loss is exactly 0 and nothing is trained ({self._figures(accuracy, gradient)}): "
            "every label seems to be masked",
            evidence={"loss": loss, "token_accuracy_mean": accuracy, "grad_norm": gradient},
            onset=self.streak.since,
            confidence=0.9,
            limit=0.0,
        )

    def _masked(self, at: Observation) -> bool:
        values = at.values
        entropy, accuracy = values.get("entropy_mean"), values.get("token_accuracy_mean")
        gradient = values.get("grad_norm")
        dark = gradient is not None and not isfinite(gradient)
        if entropy is not None and not isfinite(entropy):
            return False
        if accuracy is not None:
            return accuracy == 0.0 and (not dark or entropy is not None)
        if dark:
            return entropy is not None
        return gradient == 0.0 and self.last >= 0.05

    def _fills_the_limit(self) -> bool:
        """Whether texts may be cut: False where their mean length is below half of `max_length`."""
        limit, tokens = self.context.number("max_length"), self.tokens
        texts = scored_completions(self.context, tokens.step) if tokens.count else None
        return not limit or not texts or tokens.last / texts >= limit / 2

    @staticmethod
    def _figures(accuracy: float | None, gradient: float | None) -> str:
        texts = [] if accuracy is None else [f"token accuracy {accuracy:.3g}"]
        return ", ".join(texts + ([] if gradient is None else [f"gradient {gradient:.3g}"]))

    def causes(self) -> list[Cause]:
        part = self.context.option("completion_only_loss") or self.context.option("assistant_only_loss")
        return [
            Cause(
                "`max_length` cuts the answers away",
                (Remedy("raise `max_length`", scale=2),),
                0.6 if self._fills_the_limit() else 0.2,
            ),
            Cause(
                "the mask finds no answers: the template lacks generation marks or has another marker",
                (
                    Remedy("decode the labels of one batch that are not -100"),
                    Remedy("set `assistant_only_loss=False` to see whether it is the mask"),
                    Remedy("check `completion_only_loss` and the columns of the data"),
                ),
                0.8 if part else 0.5,
            ),
        ]
