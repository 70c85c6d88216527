"""SYS001 resume-jump: after a resume the run does not continue where it stopped.

Invariant: a resumed run is compared only with its own records from before the resume.
"""

from collections import deque
from math import cos, pi

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["ResumeJump", "ResumeJumpOptions"]


NAMES = {"reward": REWARD, "loss": LOSS}
"""The metrics that are compared, by their names in a message."""


class ResumeJumpOptions(RuleOptions, frozen=True):
    """Thresholds of resume-jump."""

    rate: float = 1.5
    """Ratio of the learning rates at the same step; twice that where only neighbours can be compared."""
    noise: float = 4.0
    """Change of reward or loss, in standard deviations of its noise."""
    records: int = 10
    """Records on either side that are compared."""


class ResumeJump(Rule[ResumeJumpOptions]):
    """After a resume the run does not continue where it stopped.

    ## What it looks for
    Learning rate, reward and loss in the first records after a resume, against the last ones before it.

    ## Why it matters
    A resume without optimizer, scheduler or adapter looks healthy, but it is a different training.

    ## How it decides
    In the first record after the resume, the learning rate differs by a factor of more than 1.5 from the
    run's rate at the same step: warning. If the run had not reached that step, the factor is 3, against its
    last rate. Ten records after the resume, the rule compares their mean with the mean of the ten records
    before. The reward is lower, or the loss higher, by four standard deviations of its record-to-record
    noise: warning. A rate that changed by a factor of less than 2 is info. So is a rate that a linear or
    cosine decay over the planned run gives at this point: the schedule has another length. Where reward or
    loss differ, the checkpoint of the resume is suspect: the last good step is before it.

    ## What looks alike but is healthy
    Another order of the data. On a resume it is normal that the step goes back and that `num_tokens`
    restarts. Near the end of its schedule or in its warm-up a learning rate changes fast: hence the same
    step. Trainers do not restore the random generators of rollouts, so an exact match is impossible.

    ## What to do
    Pass `resume_from_checkpoint`, keep the optimizer's state in checkpoints, keep the configuration.

    ## Sources
    verl#3754; open-r1#450; trl#3179, trl#3247; NeMo-RL#108; ms-swift#8233.
    """

    code, name, severity = "SYS001", "resume-jump", Severity.WARNING
    enable = "log the learning rate, the reward or the loss, as TRL does"
    when_over = "keep"
    is_change = True

    def start(self) -> None:
        self.reward, self.loss = self.chart.track(REWARD), self.chart.track(LOSS)
        self.past: deque[tuple[int, float]] = deque(maxlen=1000)
        self.steps: deque[int] = deque(maxlen=1000)
        self.good: int | None = None
        self.before: dict[str, tuple[float, float]] = {}
        self.since = 0
        self.left = 0
        self.found: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        rate = at.values.get("lr")
        if at.resumed_from is not None:
            self._resume(at, rate)
        elif self.left:
            self.left -= 1
            if not self.left and self.found is None:
                self.found = self._levels(at.step)
        self.steps.append(at.step)
        if rate is not None:
            self.past.append((at.step, rate))
        return self.found

    def _resume(self, at: Observation, rate: float | None) -> None:
        """Store the levels from before the resume. The tracks already hold the first record after it."""
        count = self.options.records
        self.before = {}
        for name, track in (("reward", self.reward), ("loss", self.loss)):
            earlier = track.tail(count + 1)[:-1]
            if len(earlier) >= count:
                self.before[name] = (sum(earlier) / len(earlier), track.noise)
        self.since, self.left = at.step, count - 1
        saved = at.step if at.resumed_from is None else at.resumed_from
        self.good = next((step for step in reversed(self.steps) if step < saved), None)
        self.found = self._rates(at, rate)

    def _rates(self, at: Observation, rate: float | None) -> Verdict | None:
        step = at.step
        if rate is None or not self.past:
            return None
        near = min(self.past, key=lambda point: abs(point[0] - step))
        same = near[0] == step
        limit = self.options.rate if same else 2 * self.options.rate
        was = near[1]
        if max(rate, was) <= limit * min(rate, was):
            return None
        longer = max(rate, was) < 2 * min(rate, was) or self._on_schedule(at, rate)
        return Verdict(
            severity=Severity.INFO if longer else Severity.WARNING,
            message=f"after the resume the learning rate is {rate:.2g}; it was {was:.2g} "
            + ("at this step before" if same else f"at step {near[0]}")
            + ("; the schedule may have another length" if longer else ""),
            evidence={"lr": [was, rate], "step": [near[0], step]},
            onset=step,
            confidence=0.9 if same else 0.6,
            baseline=was,
            limit=limit * was if rate > was else was / limit,
        )

    def _on_schedule(self, at: Observation, rate: float) -> bool:
        """Whether a linear or cosine decay from the planned peak, which the run reached, gives this rate
        here.
        """
        peak, highest = self.context.number("learning_rate"), max(rate for _, rate in self.past)
        if peak is None or not 0.8 * peak <= highest <= 1.01 * peak:
            return False
        steps, epochs = self.context.number("max_steps"), self.context.number("num_train_epochs")
        epoch = at.values.get("epoch")
        if steps is not None and steps > 0:
            done = at.step / steps
        elif epochs and epoch is not None:
            done = epoch / epochs
        else:
            return False
        shapes = (1 - done, 0.5 * (1 + cos(pi * min(done, 1.0))))
        return any(abs(rate - shape * peak) <= 0.05 * peak for shape in shapes)

    def _levels(self, step: int) -> Verdict | None:
        count = self.options.records
        for name, track, sign in (("reward", self.reward, -1.0), ("loss", self.loss, 1.0)):
            if name not in self.before or (name == "loss" and self.reward.count):
                continue
            was, noise = self.before[name]
            now = track.mean(count)
            far = self.options.noise * max(noise, 1e-3 * abs(was), 1e-9)
            if sign * (now - was) >= far:
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"the {name} was {was:.3g} in the {count} records before the resume and is "
                    f"{now:.3g} in the {count} after it",
                    evidence={NAMES[name]: [was, now], "noise": noise, "step": [self.since, step]},
                    onset=self.since,
                    confidence=0.7,
                    last_good_step=self.good,  # the checkpoint of the resume is itself suspect
                    baseline=was,
                    limit=was + sign * far,
                )
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the configuration of the second start differs",
                (Remedy("compare the arguments of the two attempts in the run's run.json"),),
                0.6,
            ),
            Cause(
                "optimizer, scheduler or random state were not restored",
                (
                    Remedy('pass the checkpoint to "trainer.train(resume_from_checkpoint=...)"'),
                    Remedy("set `save_only_model=False`"),
                ),
                0.5,
            ),
            Cause(
                "the adapter was merged twice, or not loaded",
                (Remedy("compare the weights before the resume with those after it"),),
                0.3,
            ),
        ]
