"""CKP008 optimizer-state: the optimizer or the scheduler of a checkpoint does not match its training.

Invariant: parameters that never get a gradient, such as experts without a token, need no state.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names
from rldk.schema.checkpoint import Analysis, Optimizer

__all__ = ["OptimizerState", "OptimizerStateOptions"]

_JUMPING = ("cosine_with_restarts", "reduce_lr_on_plateau", "cosine_warmup_with_min_lr")
"""Schedules of transformers whose next rate may be far from the last one."""


class OptimizerStateOptions(RuleOptions, frozen=True):
    """Thresholds of optimizer-state."""

    ratio: float = 2.0
    """Least factor between the next learning rate and the last logged one."""
    steepest: float = 3.0
    """Least difference of the two, as a multiple of the steepest change of the learning rate in one step."""


class OptimizerState(CheckpointRule[OptimizerStateOptions]):
    """The optimizer or the scheduler of a checkpoint does not match its training.

    ## What it looks for
    In `optimizer.pt`: a state for each parameter, equal step counters, finite moments. In `scheduler.pt`: the
    next learning rate, against the optimizer's and the last one logged.

    ## Why it matters
    A resumed run jumps: a parameter without its state makes a full-size first step in the middle of training.

    ## How it decides
    A warning: NaN or infinities; an optimizer of Adam's kind without any state, or with unequal counters, or
    with fewer states than tensors changed since the checkpoint before; rates of optimizer and scheduler that
    differ. A warning too: a next rate that differs from the last logged one by a factor of two, and by three
    times the steepest change of a step in the last ten records. Info: other missing states, where the
    remaining parameters took all steps; missing states and unequal counters in a mixture of experts or a
    model with towers; a rate that rises under an unknown schedule, which may have restarts; counters below
    half of the steps, after a resume without the optimizer.

    ## What looks alike but is healthy
    SGD without momentum has no state. Parameters that never get a gradient have none either: the pooler of an
    encoder, experts that were never chosen, image towers without images. fp16 skips steps.

    ## What to do
    Resume from a checkpoint whose optimizer is whole: `trainer.train(resume_from_checkpoint=path)`.

    ## Sources
    open-r1#450; verl#3754.
    """

    code, name, severity = "CKP008", "optimizer-state", Severity.WARNING

    _resting = False
    """Whether the parameters without a state seem to get no gradient."""

    def judge(self, found: Analysis) -> Verdict | None:
        state = found.optimizer
        if state is None or state.fault:
            return None
        resting = _has_zero_rate(found, state)
        problems = self._states(found, state, resting=resting) + self._rates(found, state)
        if not problems:
            return None
        self._resting = resting
        problems.sort(key=lambda problem: -problem[0])
        progress = found.progress
        return Verdict(
            severity=problems[0][0],
            message="; ".join(text for _, text in problems[:3]),
            evidence={
                "parameters": state.parameters,
                "without_state": state.without_state,
                "steps": [state.fewest_steps, state.most_steps],
                "non_finite": [tensor.name for tensor in state.non_finite],
                "optimizer_lr": state.lr,
                "scheduler_lr": state.scheduled_lr,
                "logged_lr": progress.logged_lr if progress else None,
            },
            confidence=0.85,
        )

    @staticmethod
    def _states(found: Analysis, state: Optimizer, *, resting: bool) -> list[tuple[Severity, str]]:
        problems, step = [], found.step or 0
        unsure = Severity.INFO if found.experts else Severity.WARNING
        if state.non_finite:
            names = first_names([tensor.name for tensor in state.non_finite])
            problems.append((Severity.WARNING, f"states of the optimizer hold NaN or infinities: {names}"))
        if state.moments and state.without_state and step > 0:
            none = state.without_state == state.parameters
            text = f"{state.without_state} of {state.parameters} parameters have no state in the optimizer"
            problems.append((Severity.WARNING if none else Severity.INFO if resting else unsure, text))
        low, high = state.fewest_steps, state.most_steps
        if low is not None and high is not None and low != high:
            problems.append((unsure, f"the parameters have taken from {low} to {high} steps"))
        elif high is not None and high < step / 2:
            problems.append((Severity.INFO, f"the optimizer has taken {high} steps of {step}: it was reset"))
        return problems

    def _rates(self, found: Analysis, state: Optimizer) -> list[tuple[Severity, str]]:
        pairs = list(zip(state.lr, state.scheduled_lr, strict=False))
        apart = [pair for pair in pairs if abs(pair[0] - pair[1]) > 1e-6 * max(pair)]
        if apart and len(state.lr) == len(state.scheduled_lr):
            rate, scheduled = apart[0]
            text = f"the optimizer's learning rate is {rate:.3g}, the scheduler's {scheduled:.3g}"
            return [(Severity.WARNING, text)]
        progress, schedule = found.progress, self.context.option("lr_scheduler_type")
        if state.plateau or schedule in _JUMPING or progress is None or progress.logged_step != found.step:
            return []
        logged, steepest = progress.logged_lr, progress.steepest
        if logged is None or steepest is None or not state.scheduled_lr:
            return []
        following = state.scheduled_lr[0]  # the trainer logs the first group's rate
        low, high = sorted((following, logged))
        if high <= self.options.ratio * low or high - low <= self.options.steepest * steepest:
            return []
        severity = Severity.INFO if following > logged and schedule is None else Severity.WARNING
        text = f"the scheduler's next learning rate is {following:.3g}, but the last logged is {logged:.3g}"
        return [(severity, text)]

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the optimizer or the scheduler was reset, or belongs to another run",
                (Remedy('resume from the last whole one: "trainer.train(resume_from_checkpoint=path)"'),),
                0.6,
            ),
            Cause(
                "some parameters get no gradient",
                (Remedy('freeze these parameters ("requires_grad_(False)") before the trainer is built'),),
                0.9 if self._resting else 0.3,
            ),
            Cause("a gradient that was not finite reached the optimizer: see checkpoint-non-finite", (), 0.3),
        ]


def _has_zero_rate(found: Analysis, state: Optimizer) -> bool:
    """Whether the parameters without a state may be parameters that never got a gradient.

    Then the other parameters have taken all steps, and only they changed. With more changed tensors than
    parameters the file splits them differently, and the answer is no.
    """
    low, high, compared = state.fewest_steps, state.most_steps, found.compared
    if not state.without_state or low is None or low != high or low < (found.step or 0) / 2:
        return False
    changed = compared.tensors - compared.unchanged_tensors if compared is not None else 0
    return not state.parameters - state.without_state < changed <= state.parameters
