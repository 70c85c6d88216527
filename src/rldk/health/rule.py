"""The Rule, which judges one condition of a run, and its Verdict, Causes and options.

Invariant: a rule reports a condition that holds at a record, from that record and bounded memory of earlier
ones. The Monitor opens, raises and closes incidents.
"""

import inspect
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, get_args

import msgspec

from rldk.health.context import RunContext
from rldk.health.observation import Observation, ObservationKind
from rldk.health.remedies import Remedy
from rldk.health.tracks import Chart

__all__ = ["Cause", "O_co", "QuestionName", "Rule", "RuleOptions", "SampleKind", "Severity", "Verdict"]

QuestionName = Literal[
    "loss-near-zero",
    "clip-ratio-zero",
    "kl-absent",
    "reward-std-zero",
    "chosen-falls",
    "negative-kl",
    "entropy-level",
    "gradient-spikes",
    "groups-without-spread",
    "all-clipped",
    "epoch-steps",
    "train-loss-zero",
    "reference-point-zero",
    "chosen-negative",
    "rate-not-mine",
    "constant-function",
    "no-eos",
    "step-zero",
    "nan-now-and-then",
    "gradient-zero",
    "slow",
    "enough",
]
"""The questions "is this normal?", each answered in `rldk.health.normal`."""
SampleKind = Literal[
    "before",
    "since",
    "since-end",
    "highest-before",
    "highest-since",
    "longest-since",
    "shortest-since",
    "first-cut",
    "last-cut",
    "longest-unknown-end",
    "ended-unseen",
    "without-reward",
    "reward-values",
]
"""The kinds of samples that can show a finding, each described in `rldk.doctor.sample_kinds`."""


class Severity(IntEnum):
    """How bad a finding is: the only three levels."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> Literal["info", "warning", "critical"]:
        """As written in reports."""
        return self.name.lower()  # type: ignore[return-value]

    @classmethod
    def of(cls, word: str) -> "Severity":
        """The severity of a word.

        Raises:
            ValueError: there is no such severity.
        """
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"no severity {word!r}: use info, warning or critical") from None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's statement that its condition holds at this record."""

    severity: Severity
    """At most the rule's own."""
    message: str
    """One plain sentence with the numbers that decided."""
    evidence: Mapping[str, Any]
    """The values that decided, by metric or by a short name."""
    onset: int | None = None
    """Step at which it began, as far as the rule can tell; None: at this record."""
    confidence: float = 0.8
    """0 to 1: how far beyond the threshold the run is, and for how long."""
    last_good_step: int | None = None
    """The last good step, where the rule knows it better than the records show."""
    explained_by: tuple[str, ...] = ()
    """Names of rules whose findings explain this verdict, in addition to the rule's `explained_by`."""
    is_lasting: bool = False
    """Whether the finding keeps its severity when it is over, although other findings of the rule do not."""
    baseline: float | None = None
    """The run's own level of the metric that decided, the first of `shown_on`."""
    limit: float | None = None
    """The level of that metric at which the rule reports."""


class Cause(msgspec.Struct, frozen=True):
    """A possible cause of a finding, and its remedies."""

    text: str
    """The cause, in a few words."""
    remedies: tuple[Remedy, ...] = ()
    """Changes to make, the first one first."""
    likelihood: float = 0.5
    """0 to 1, given the run's other metrics and its options; causes are reported by it, the likeliest
    first."""


class RuleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds of a rule; each has a documented default that fits most runs."""


if TYPE_CHECKING:  # Python has defaults of type variables from 3.13 on; type checkers bring this module
    from typing_extensions import TypeVar

    O_co = TypeVar("O_co", bound=RuleOptions, default=RuleOptions, covariant=True)
else:
    from typing import TypeVar

    O_co = TypeVar("O_co", bound=RuleOptions, covariant=True)


class Rule(Generic[O_co]):
    """Judges one condition. A subclass's docstring is its documentation page.

    Args:
        options: the thresholds.
        context: the run that is judged.
        chart: the tracks of the run; a rule asks for those it needs when it is made. They hold a record
            before the rule observes it.

    Example:
        A rule with a threshold; the brackets name the class of its options, and a rule without
        thresholds leaves them out:

        ```python
        from rldk.health import Observation, Rule, RuleOptions, Severity, Verdict


        class LowRewardOptions(RuleOptions, frozen=True):
            '''Thresholds of low-reward.'''

            least: float = 0.5
            '''Mean of ten records below which the reward is low.'''


        class LowReward(Rule[LowRewardOptions]):
            '''The reward is below a level that the task is known to reach.'''

            code, name, severity = "MY001", "low-reward", Severity.WARNING
            needs = ("reward_mean",)
            explained_by = ("truncation",)

            def start(self) -> None:
                self.reward = self.chart.track("reward_mean")

            def observe(self, at: Observation) -> Verdict | None:
                level = self.reward.ema10
                if self.reward.count < 10 or level >= self.options.least:
                    return None
                message = f"the reward is {level:.3g}, below {self.options.least}"
                return Verdict(severity=Severity.WARNING, message=message, evidence={"reward_mean": level})
        ```
    """

    code: ClassVar[str]
    """Stable short name, such as `OPT001`."""
    name: ClassVar[str]
    """Stable long name, such as `non-finite`."""
    severity: ClassVar[Severity]
    """The highest severity of its verdicts."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Canonical metrics that a record must hold before the rule observes it. `|` separates alternatives, `*`
    stands for any text. Empty: the rule observes every record."""
    kinds: ClassVar[tuple[ObservationKind, ...]] = ("log",)
    """Kinds of observations that the rule observes."""
    phases: ClassVar[tuple[str, ...]] = ("train",)
    """Phases of the records that the rule observes; empty, where it judges only the configuration."""
    algorithms: ClassVar[frozenset[str] | None] = None
    """Algorithms it applies to; None: all. A run of unknown algorithm is judged by what it logs."""
    enable: ClassVar[str] = ""
    """How to get a record with the metrics that the rule needs."""
    when_over: ClassVar[Literal["keep", "info", "forget"]] = "info"
    """What happens to a finding whose condition is over before the run ends. `keep`: it keeps its severity;
    `info`: it is downgraded to info; `forget`: it is dropped, because it described a state and not an
    accident."""
    lasting: ClassVar[str] = ""
    """The verdicts that are lasting, in words that follow "where"; empty: none."""
    patience: ClassVar[int] = 10
    """Records without the condition after which an incident is over."""
    explained_by: ClassVar[tuple[str, ...]] = ()
    """Names of the rules whose findings explain this rule's, the most fundamental first."""
    is_change: ClassVar[bool] = False
    """Whether its finding is a change of the training itself, as a resume is. Such a change is the first
    suspect of what begins soon after it, where its finding has the highest severity of the rule."""
    shown_by: ClassVar[tuple[SampleKind, ...]] = ()
    """Kinds of samples that show a finding; empty: no samples show it."""
    shown_on: ClassVar[tuple[str, ...]] = ()
    """Canonical metrics on which a finding can be seen, the one that decides first; written as in `needs`.
    Empty: those of `needs`."""
    answers: ClassVar[tuple[QuestionName, ...]] = ()
    """Questions "is this normal?" that a finding of this rule already answers."""
    forbids_saving: ClassVar[bool] = False
    """Whether its finding means that the weights are lost. A run that stops for it saves no checkpoint,
    because saving might delete the last good one."""
    Options: ClassVar[type[RuleOptions]] = RuleOptions
    """The class of its options, from the brackets of the base class."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        bases = cls.__dict__.get("__orig_bases__", ())
        arguments = [argument for base in bases for argument in get_args(base)]
        for argument in arguments:
            if isinstance(argument, type) and issubclass(argument, RuleOptions):
                cls.Options = argument

    def __init__(self, options: O_co, context: RunContext, chart: Chart) -> None:
        self.options = options
        self.context = context
        self.chart = chart
        self.score = 0.0
        """The size of its condition at the newest record, as a multiple of what a warning needs. It
        stays 0 in rules that judge by other means. The benchmark of power reads it."""
        self.start()

    def start(self) -> None:
        """Ask for tracks and set up the rule's state."""

    def enough(self, records: int, *, least: int = 3) -> float:
        """`records` in a row, or fewer where a trainer's record is the mean of many steps.

        The noise of a mean of n steps is smaller by the square root of n. More than ten steps give no further
        discount.
        """
        spacing = self.chart.spacing
        if spacing <= 1.0 or self.context.dialect not in (None, "trl"):
            return max(records, least)
        return float(max(records / min(spacing, 10.0) ** 0.5, least))

    def inputs(self) -> tuple[str, ...]:
        """Metrics that a record must hold for this rule; `needs`, unless the settings of the run name
        others.
        """
        return self.needs

    def meet(self, names: Collection[str]) -> None:
        """Ask for tracks of metrics whose names only a record shows; called before records with these
        keys.
        """

    def checkable(self) -> str | None:
        """None, or the reason why the rule cannot judge this run, by its configuration."""
        return None

    def inspect(self) -> Verdict | None:
        """Judge the configuration alone, before the first record; most rules return None."""
        return None

    def observe(self, at: Observation) -> Verdict | None:
        """Judge this record: a Verdict if the condition holds, else None."""
        raise NotImplementedError

    def causes(self) -> list[Cause]:
        """Possible causes of the finding, given the tracks and options of the run."""
        return []

    def explains(self, rule: str) -> bool:
        """Whether this rule's finding may explain the finding of another rule that names it in
        `explained_by`.
        """
        return True

    @classmethod
    def family(cls) -> str:
        """The letters of the code, such as `OPT`."""
        return cls.code.rstrip("0123456789")

    @classmethod
    def summary(cls) -> str:
        """The first line of the documentation page; the rule's name where there is no page."""
        return cls.page().partition("\n")[0] or cls.name

    @classmethod
    def page(cls) -> str:
        """The documentation page, in Markdown."""
        return inspect.cleandoc(cls.__doc__ or "")
