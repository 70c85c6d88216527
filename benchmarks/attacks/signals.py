"""Ends real trainings by SIGTERM, SIGHUP and SIGINT at random moments: `python signals.py [SIGNALS]`.

Plain trainings, SFT and GRPO that save; each goes on from its newest whole checkpoint as one run. Promised:
no record that was logged is missing, doubled or torn, and the process ends with the status that it has
without rldk. A third as many signals are sent to trainings without rldk, to compare their statuses and how
long they take.
"""

import signal
from collections import defaultdict
from statistics import median

from attack import Report, chosen_cases, options, temporary_folder
from lives import Ending, Outcome, end_trainings

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP, "SIGINT": signal.SIGINT}
KINDS = {"line": 6, "sft": 1, "grpo": 1}
"""How often each training is chosen, compared with the others."""
FRESH = 50
"""Of so many signals one is sent to a new interpreter, and the others to forked ones."""


def endings(name: str, count: int) -> list[tuple[Ending, int]]:
    """How many processes of each kind are ended by a signal."""
    found = []
    for kind, share in KINDS.items():
        tries = -(-count * share // sum(KINDS.values()))
        for recorded, case, number in ((True, name, tries), (False, f"{name} without rldk", -(-tries // 3))):
            found.append((Ending(case, SIGNALS[name], kind, recorded, {}), number))
    fresh = Ending(f"{name}, new interpreters", SIGNALS[name], "line", recorded=True, options={}, fresh=True)
    return [*found, (fresh, -(-count // FRESH))]


def is_expected(outcome: Outcome) -> bool:
    """Whether the signal ended the process; it may have come when there was nothing left to end."""
    return outcome.status == -outcome.ending.signum or (outcome.had_returned and outcome.status == 0)


def compare(outcomes: list[Outcome], report: Report) -> None:
    """Count the statuses, and report those that no training without rldk had at the same moment."""
    without = {(one.ending.signum, one.moment, one.status) for one in outcomes if not one.ending.recorded}
    seconds = defaultdict(list)
    for one in outcomes:
        case = one.ending.case
        status = signal.Signals(-one.status).name if one.status < 0 else f"exit {one.status}"
        report.count(case, **{f"ended with {status}": 1})
        seconds[case].append(one.seconds)
        is_known = is_expected(one) or (one.ending.signum, one.moment, one.status) in without
        if one.ending.recorded and not is_known:
            report.fail(case, f"{one.moment}: it ended with {status}, as none without rldk")
    for case, all_seconds in seconds.items():
        report.count(case, median_s=float(median(all_seconds)), longest_s=float(max(all_seconds)))


def main() -> None:
    given = options(__doc__, quick=24, full=450, what="signals")
    report = Report("signals")
    names = chosen_cases(SIGNALS, given.only)
    chosen = [ending for name in names for ending in endings(name, given.count // len(names))]
    with temporary_folder() as folder:
        compare(end_trainings(chosen, folder, report, seed=given.seed, jobs=given.jobs), report)
    report.end()


if __name__ == "__main__":
    main()
