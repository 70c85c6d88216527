"""CKP005 weight-drift: one layer moved far more than similar layers, or the weights changed their dtype or
size.

Invariant: a part is compared only with parts of its own kind, and the finding is never more than info.
"""

from math import exp, log
from statistics import median

from rldk.health.rule import RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names, folder
from rldk.schema.checkpoint import Analysis, Group

__all__ = ["WeightDrift", "WeightDriftOptions"]


class WeightDriftOptions(RuleOptions, frozen=True):
    """Thresholds of weight-drift."""

    deviations: float = 5.0
    """Least number of median absolute deviations above the median."""
    ratio: float = 3.0
    """Least multiple of the median."""
    layers: int = 6
    """Least number of parts of one kind."""
    size: float = 0.01
    """Relative change of the size above which it is reported."""


class WeightDrift(CheckpointRule[WeightDriftOptions]):
    """One layer moved far more than similar layers, or the weights changed their dtype or size.

    ## What it looks for
    ||dW|| / ||W|| since the checkpoint before, by part and layer, and the dtypes and the size of the file.

    ## Why it matters
    A divergence often begins in a single layer. A change of dtype is seldom intended.

    ## How it decides
    The rule compares parts of one kind that moved (such as the MLPs of all layers), if there are at least
    six. A part is above the median by five median absolute deviations on a log scale, and by a factor of
    three: info. Between checkpoints with common tensors, dtypes or shapes changed, or the size by more than
    1%: info.

    ## What looks alike but is healthy
    First and last layers often move more. Frozen layers do not move, and the rule ignores them.

    ## What to do
    Look at the gradients of that layer; give it a lower learning rate, or freeze it.

    ## Sources
    arXiv:2505.11711 (updates of RL are spread evenly over layers).
    """

    code, name, severity = "CKP005", "weight-drift", Severity.INFO
    when_over = "forget"

    def judge(self, found: Analysis) -> Verdict | None:
        compared = found.compared
        if compared is None:
            return None
        texts = []
        if not compared.base and not found.damaged:  # else another rule reports why the size changed
            if compared.retyped:
                texts.append(
                    f"dtype or shape changed since step {compared.step}: {first_names(compared.retyped)}"
                )
            related = compared.tensors or compared.retyped
            if related and self._resized(found.bytes, compared.bytes_before):
                texts.append(f"the weights had {compared.bytes_before:,} bytes and now have {found.bytes:,}")
        outliers = self._outliers(found.groups)
        texts += [
            f"{group.name} moved by {drift:.2g}, similar parts by {usual:.2g}"
            for group, drift, usual in outliers
        ]
        if not texts:
            return None
        return Verdict(
            severity=Severity.INFO,
            message=f"{folder(found)}: {first_names(texts)}",
            evidence={
                "drift": {group.name: [drift, usual] for group, drift, usual in outliers[:20]},
                "retyped": compared.retyped,
                "bytes": [compared.bytes_before, found.bytes],
            },
            onset=compared.step,
            confidence=0.6,
        )

    def _resized(self, now: int, before: int) -> bool:
        return before > 0 and abs(now - before) > self.options.size * before

    def _outliers(self, groups: list[Group]) -> list[tuple[Group, float, float]]:
        """Groups that moved more than others of their kind, each with its drift and the median."""
        kinds: dict[str, list[tuple[Group, float]]] = {}
        for group in groups:
            kind = ".".join("*" if part.isdigit() else part for part in group.name.split("."))
            if group.drift:
                kinds.setdefault(kind, []).append((group, log(group.drift)))
        found = []
        for moved in kinds.values():
            if len(moved) < self.options.layers:
                continue
            middle = median(level for _, level in moved)
            spread = median(abs(level - middle) for _, level in moved)
            limit = middle + max(self.options.deviations * spread, log(self.options.ratio))
            found += [(group, exp(level), exp(middle)) for group, level in moved if level > limit]
        return found
