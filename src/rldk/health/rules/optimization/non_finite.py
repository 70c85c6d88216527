"""OPT001 non-finite: a logged value is NaN or infinite.

Invariant: a single value that is not finite is info; a metric that is undefined by construction is ignored.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import isfinite, isinf

import msgspec

from rldk.health.context import ONLINE
from rldk.health.failure_cause import failure_of
from rldk.health.observation import Observation
from rldk.health.remedies import WARMUP, Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict

__all__ = ["NonFinite", "NonFiniteOptions"]

CORE = frozenset({"loss", "grad_norm", "critic_grad_norm", "train_loss", "reward_mean", "kl_mean"})
"""Metrics that must be finite in every run, from the first record on."""
UNDEFINED = (
    "*_std",
    "*/std",
    "*_var",
    "*explained_variance",
    "*correlation*",
    "*pearson*",
    "rewards/*/mean",
)
"""Metrics that are NaN by construction for one value, no value or no spread. Only an infinity is a fault."""
SOFT = ("logits_*", "rewards_*", "logps_*")
"""Averages of a batch that are NaN now and then in runs that learn, above all in DPO."""
BEGIN = 20
"""First records that may all overflow while a loss scaler searches for its scale."""
FIRST = 2
"""First records: what is not finite in them is the fault of data, precision or a kernel, not of an update."""
MAX_KEYS = 2000
_ALL = 0x3FF  # ten records

SURE_ZEROS = 10
"""Records with a loss of exactly 0 that are no rounding, where the algorithm is not known."""
ABSURD = 0.005
"""A learning rate above any that is used to fine-tune a language model."""


class NonFiniteOptions(RuleOptions, frozen=True):
    """Thresholds of non-finite."""

    records: int = 2
    """Records of the last ten that make it critical."""
    scaler_records: int = 5
    """Records of the last ten that make it critical where only the gradient norm is not finite and a loss
    scaler may be the reason."""
    gradients: int = 3
    """Records without a finite gradient norm, no scaler's doing, that are a warning even when over."""


class NonFinite(Rule[NonFiniteOptions]):
    """A logged value is NaN or infinite.

    ## What it looks for
    NaN and infinities in every series, of training, evaluation and the closing summary.

    ## Why it matters
    NaN does not heal: a NaN gradient makes NaN weights, which every later step and checkpoint keeps.

    ## How it decides
    The rule counts such records among the last ten. One: info; a warning where the gradient norm and another
    series are not finite in it, or the loss is exactly 0. Two, or half of the ten where a mixed-precision
    scaler may be at work: critical. Three records of a run without a finite gradient norm, where no scaler
    may be at work: at least a warning, which lasts: steps were lost, or the weights. A NaN average of the
    training loss in the summary is critical where the last record was not finite either. A loss that drops to
    exactly 0 for three records, in a log without gradient norms, is reported too: the trainer writes 0 for a
    loss that is NaN.

    ## What looks alike but is healthy
    In fp16 the scaler tries scales until gradients do not overflow, and now and then later. The gradient norm
    of these steps is infinite or NaN and the trainer skips the step; all other series stay finite. With
    `fp16=True` up to 20 such records in a row from the first are info. Averages of logits, log-probabilities
    or implicit rewards that are NaN in a batch of some DPO runs (info at most). Spreads of a single value,
    explained variance of constant returns, and rewards of a function that skipped the whole batch. Series
    that have been NaN since the first record, other than loss, gradient norm, reward and KL. `None` does not
    count: see missing-rewards.

    ## What to do
    Stop, go back to the last checkpoint before the onset, and start again with a lower learning rate in bf16.
    What is not finite in the first two records is the fault of data, precision or a kernel. Where the
    gradient norm stays finite, a metric averages over nothing, and the weights are fine. Where only the
    gradient norm is not finite and the loss stays finite after it, the trainer skipped these steps, and the
    weights are whole.

    ## Sources
    trl#6702, trl#6771, transformers#13619, verl#747, verl#2505; measured with TRL 1.16: with NaN weights and
    the default filter the loss reads 0.0 and the gradient norm NaN; public DPO logs.
    """

    code, name, severity = "OPT001", "non-finite", Severity.CRITICAL
    kinds = ("log", "end")
    phases = ("train", "eval", "summary")
    enable = "log the loss and the gradient norm, as TRL does"
    explained_by = (
        "high-learning-rate",
        "reward-function-errors",
    )
    answers = ("gradient-spikes",)
    lasting = "the gradient norm was not finite in three records, and no scaler explains it"
    forbids_saving = True

    def start(self) -> None:
        self.loss = self.chart.track("loss")
        self.gradient = self.chart.track("grad_norm")
        self.rate = self.chart.track("lr")
        self.strictness: dict[str, int] = {}
        self.born: set[str] = set()
        self.bad = self.scaled = 0  # a bit for each of the last ten records
        self.records = self.tried = 0
        self.since = 0
        self.last_bad = False
        self.lost = self.lost_since = 0  # records without a finite gradient that no scaler explains
        self.zeros = 0
        self.before_zeros = 1.0
        self.shown: list[str] = []
        self.began = 0  # the record at which it began
        self.lost_loss = False  # whether the loss was lost in one of these records too
        self.latest: Verdict | None = None
        self.absent = 0  # records since the latest verdict

    def observe(self, at: Observation) -> Verdict | None:
        if at.kind == "end":
            return self._at_end(at)
        verdict = self._observe_record(at)
        if verdict is None:
            self.absent += 1
        else:
            self.latest, self.absent = verdict, 0
        return verdict

    def _at_end(self, at: Observation) -> Verdict | None:
        """Reports NaN weights of an online trainer: generation fails on them before a log shows them."""
        end = at.ends[0]
        if end.how != "exception" or failure_of(end.detail, end.activity).kind != "nan":
            return None
        if self.latest is not None and self.absent < self.patience:  # an overflow that is over is not it
            return msgspec.structs.replace(self.latest, severity=Severity.CRITICAL)
        return Verdict(
            severity=Severity.CRITICAL,
            message="the weights hold NaN or infinite values: generation could not sample from them after "
            f"step {at.step:,}, whose log was still healthy",
            evidence={"detail": end.detail, "where": end.where},
            confidence=1.0,
            last_good_step=max(at.step - 1, 0),
        )

    def _observe_record(self, at: Observation) -> Verdict | None:
        values = at.values
        if at.phase == "train":
            self.records += 1
            if values.get("loss") == 0.0:
                hidden = self._hidden(at)
                if hidden is not None:
                    return hidden
            elif self.zeros:
                self.zeros = 0
        try:
            total = sum(values.values())  # type: ignore[arg-type]
            if total - total == 0.0:
                self.bad, self.scaled = (self.bad << 1) & _ALL, (self.scaled << 1) & _ALL
                self.last_bad = False
                return None
        except (TypeError, OverflowError):
            pass
        return self._look(at)

    def _look(self, at: Observation) -> Verdict | None:
        """Judges a record that may hold a value that is not finite."""
        hard: list[str] = []
        soft: list[str] = []
        for key, value in at.values.items():
            if value is None or isfinite(value):
                continue
            strict = self._strict(key)
            if strict == 0 and not isinf(value):
                continue
            if self.records <= 2 and key not in CORE and not isinf(value) and at.phase == "train":
                self.born.add(key)
            if key in self.born:
                soft.append(key)
            else:
                (hard if strict != 1 else soft).append(key)
        scaled = hard == ["grad_norm"] and not soft and self._may_be_scaled(at.values)
        self.tried += scaled
        begins = self.context.option("fp16") is True and self.tried == self.records <= BEGIN
        earlier = self.bad | self.scaled
        self.bad = (self.bad << 1 | (bool(hard) and not scaled)) & _ALL
        self.scaled = (self.scaled << 1 | (scaled and not begins)) & _ALL
        was_bad, self.last_bad = self.last_bad, bool(hard)
        named = hard or [key for key in soft if key not in self.born]
        if not named:
            return None
        if "grad_norm" in hard and not scaled:
            self.lost += 1
            self.lost_since = self.lost_since or at.step
        if not earlier or not hard:
            self.since, self.shown = at.step, []
            self.began = self.records
            self.lost_loss = False
        loss = at.values.get("loss")
        self.lost_loss = self.lost_loss or loss is None or not isfinite(loss) or loss == 0.0
        self.shown = list(dict.fromkeys([*self.shown, *named]))[:20]
        count = self.bad.bit_count()
        severity = Severity.INFO if begins else self._grade(at, hard, was_bad)
        return self._verdict(at, named, severity, count + self.scaled.bit_count())

    def _grade(self, at: Observation, hard: list[str], was_bad: bool) -> Severity:
        count, options = self.bad.bit_count(), self.options
        many = count >= options.records or count + self.scaled.bit_count() >= options.scaler_records
        if hard and (many or (at.phase == "summary" and was_bad)):
            return Severity.CRITICAL
        lost = "grad_norm" in hard and (len(hard) > 1 or at.values.get("loss") == 0.0)
        return Severity.WARNING if lost or self.lost >= options.gradients else Severity.INFO

    def _verdict(self, at: Observation, named: list[str], severity: Severity, count: int) -> Verdict:
        is_lasting = self.lost >= self.options.gradients
        spelled = ", ".join(f"{key} {at.values[key]}" for key in named[:3])
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return Verdict(
            severity=severity,
            message=f"not finite: {spelled}{more}"
            + (f"; in {count} of {max(min(self.records, 10), count)} records" if count > 1 else ""),
            evidence={key: str(at.values[key]) for key in named[:10]},
            onset=self.lost_since if is_lasting else self.since,
            confidence=0.95 if severity is Severity.CRITICAL else 0.6,
            is_lasting=is_lasting,
        )

    def _strict(self, key: str) -> int:
        """0: undefined by construction; 1: never more than information; 2: must be finite."""
        strict = self.strictness.get(key)
        if strict is None:
            name = key.removeprefix("eval_")
            undefined = any(fnmatchcase(name, pattern) for pattern in UNDEFINED)
            soft = any(fnmatchcase(name, pattern) for pattern in SOFT)
            strict = 0 if undefined else 1 if soft else 2
            if len(self.strictness) < MAX_KEYS:
                self.strictness[key] = strict
        return strict

    def _may_be_scaled(self, values: Mapping[str, float | None]) -> bool:
        """Whether a loss scaler may have skipped this step: known to be fp16, or unknown and just begun."""
        fp16 = self.context.option("fp16")
        loss = values.get("loss")
        alive = loss is None or (isfinite(loss) and loss != 0.0)
        return alive and (fp16 is True or (fp16 is None and self.records <= 10))

    def _hidden(self, at: Observation) -> Verdict | None:
        """Reports a loss that became exactly 0, in a log without any other series to judge by."""
        values = at.values
        if "grad_norm" in values or self.context.algorithm in ONLINE:
            return None
        if any(key.startswith(("reward", "token_accuracy", "kl", "clip")) for key in values):
            return None
        self.zeros += 1
        if self.zeros == 1:
            recent = self.loss.tail(2)
            self.before_zeros = abs(recent[0]) if len(recent) == 2 else 1.0
            self.before_step = at.step
        if self.zeros < 3 or self.before_zeros < 0.1:
            return None
        sure = self.context.algorithm is not None or self.zeros >= SURE_ZEROS
        return Verdict(
            severity=Severity.WARNING if sure else Severity.INFO,
            message=f"the loss has been exactly 0 for {self.zeros} records, which is how NaN is logged",
            evidence={"loss": [self.before_zeros, 0.0]},
            onset=self.before_step,
            confidence=0.7,
        )

    def causes(self) -> list[Cause]:
        fp16 = self.context.option("fp16") is True
        rewards = bool(self.shown) and all(key.startswith("reward") for key in self.shown)
        rate = self.context.number("learning_rate")
        reward = Cause(
            "a reward function returns NaN or an infinite value",
            (Remedy("make the reward function return a finite number for every completion"),),
            0.95 if rewards else 0.1,
        )
        if self.shown and not rewards and "grad_norm" not in self.shown and self.gradient.step >= self.since:
            return [
                *((reward,) if self.context.algorithm in ONLINE else ()),
                Cause(
                    "a mean over nothing: the gradient norm is finite, so the weights are fine",
                    (Remedy("look at the batch of the onset step: what the metric averages may be absent"),),
                    0.9,
                ),
            ]
        if self.shown == ["grad_norm"] and not self.lost_loss and self.loss.step > self.since:
            return [
                Cause(
                    "these steps were skipped, or only the norm is wrong: the loss stays finite, the "
                    "weights whole",
                    (
                        Remedy("set `bf16=True` in place of `fp16`"),
                        Remedy("look at the loss scale, and whether learning_rate and loss still move"),
                    ),
                    0.8,
                ),
                self._too_large(rate),
            ]
        # A rate that is still warming up has moved nothing: what fails so early was wrong before.
        at_first = self.began <= FIRST and not self.context.is_excerpt
        return [
            *((reward,) if rewards or self.context.algorithm in ONLINE else ()),
            Cause(
                "overflow in fp16, whose largest number is 65504",
                (Remedy("set `bf16=True` in place of `fp16`"),),
                0.8 if fp16 else 0.3,
            ),
            *((self._absurd(),) if self._is_absurd() else () if at_first else (self._too_large(rate),)),
            Cause(
                "a batch without a trained token, a division by 0, or a fault of the data or of a kernel",
                (
                    Remedy("look at the batch of the onset step"),
                    Remedy("set `logging_nan_inf_filter=False` so that the log shows a NaN loss"),
                ),
                0.7 if at_first else 0.4,
            ),
        ]

    def _is_absurd(self) -> bool:
        return self.rate.high >= ABSURD and self.context.dialect not in {None, "sb3", "generic"}

    def _absurd(self) -> Cause:
        return Cause(
            f"the learning rate is {self.rate.high:.2g}: 1e-6 to 1e-3 is usual",
            (Remedy("set `learning_rate` to 1e-5 (1e-4 with LoRA)"),),
            0.95,
        )

    def _too_large(self, rate: float | None) -> Cause:
        return Cause(
            "updates are too large",
            (
                Remedy("lower `learning_rate`", scale=0.1),
                Remedy("set `max_grad_norm` to 1.0", down_to=1.0),
                Remedy("set `warmup_steps` to a tenth of the run", unless=WARMUP),
            ),
            0.7 if rate is not None and rate >= 1e-4 else 0.6,
        )
