"""The doctor's way to a run: its events through a Monitor.

Invariant: what is judged is what `Run` yields, so that a live run, an ended one and a foreign log are
judged alike.
"""

from collections.abc import Callable, Iterable, Mapping

from rldk.health import RULES, Diagnosis, Monitor, Rule, RuleOptions, RunContext, diagnose
from rldk.runs.run import Run

__all__ = ["context_of", "judge", "monitor_of"]


def context_of(run: Run, *, truth_metric: str | None = None) -> RunContext:
    """What is known of the run besides its records: by `{run_id}_run.json`, else by the log's keys."""
    attempts = run.info.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts else {}
    if isinstance(last, dict) and last:
        return RunContext.of_attempt(last, truth_metric=truth_metric)
    return RunContext(algorithm=run.algorithm, dialect=run.dialect, truth_metric=truth_metric)


def monitor_of(
    run: Run,
    rules: Iterable[type[Rule]] = RULES,
    options: Mapping[type[Rule], RuleOptions] | None = None,
    *,
    truth_metric: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Monitor:
    """A Monitor that has been told the whole run.

    Args:
        run: what to read; its `bad_lines` grow meanwhile.
        rules: the rules to judge by.
        options: their options, where they are not to have their defaults.
        truth_metric: the metric that the reward is a proxy of.
        progress: called with the number of records read so far, now and then.
    """
    monitor = Monitor(context_of(run, truth_metric=truth_metric), rules, options)
    monitor.begin()
    for count, event in enumerate(run, 1):
        monitor.feed(event)
        if progress is not None and count % 1000 == 0:
            progress(count)
    return monitor


def judge(
    run: Run,
    rules: Iterable[type[Rule]] = RULES,
    options: Mapping[type[Rule], RuleOptions] | None = None,
    *,
    truth_metric: str | None = None,
) -> Diagnosis:
    """The diagnosis of a run; the arguments are those of `monitor_of`."""
    return diagnose(monitor_of(run, rules, options, truth_metric=truth_metric))
