"""What the rules of checkpoints share: they judge the analysis of one checkpoint at a time."""

from rldk.health.observation import Observation
from rldk.health.rule import O_co, Rule, Verdict
from rldk.schema.checkpoint import Analysis, analysis_of

__all__ = ["CheckpointRule", "first_names", "folder"]


def folder(found: Analysis) -> str:
    """The name of a checkpoint's folder, whatever the system that saved it."""
    return found.path.replace("\\", "/").rstrip("/").rpartition("/")[2]


class CheckpointRule(Rule[O_co]):
    """Judges the analysis of a checkpoint."""

    kinds = ("checkpoint",)
    enable = (
        "record the run with rldk, which analyses each checkpoint (in a loop of your own, call "
        "run.saved(path)), or run: rldk checkpoint PATH"
    )
    patience = 1  # one checkpoint without the condition is proof enough

    def observe(self, at: Observation) -> Verdict | None:
        found = analysis_of(at.detail)
        if found is None or found.gone is not None:
            return None
        return self.judge(found)

    def judge(self, found: Analysis) -> Verdict | None:
        """Whether the condition holds for this checkpoint."""
        raise NotImplementedError


def first_names(names: list[str], count: int | None = None) -> str:
    """The first three names, and how many more there are."""
    more = (len(names) if count is None else count) - len(names[:3])
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
