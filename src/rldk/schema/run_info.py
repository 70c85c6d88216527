"""The starts of a run: what each of them recorded of itself, and what it superseded.

Invariant: what does not say of which start it is, or of a start that nothing is known of, is not left out.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["Attempts", "newest_attempt"]


class Attempts:
    """The starts of one run, by which lines beside its events are told from those of an ended branch.

    Args:
        attempts: `attempts` of `{run_id}_run.json`.
    """

    def __init__(self, attempts: Any) -> None:
        starts = attempts if isinstance(attempts, list) else []
        steps = [start.get("from_step") if isinstance(start, dict) else None for start in starts]
        self._from = [step if isinstance(step, int) else 0 for step in steps]

    def superseded(self, attempt: Any, step: int) -> bool:
        """Whether a later start went on from an earlier step.

        Args:
            attempt: of which start a line is, counted from 1; anything else where it does not tell.
            step: where it stands.
        """
        later = self._from[attempt:] if isinstance(attempt, int) and attempt > 0 else []
        return bool(later) and step > min(later)


def newest_attempt(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the newest start recorded of itself; empty where that is not known.

    Args:
        info: what `{run_id}_run.json` says.
    """
    attempts = info.get("attempts")
    newest = attempts[-1] if isinstance(attempts, list) and attempts else None
    return newest if isinstance(newest, dict) else {}
