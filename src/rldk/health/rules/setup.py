"""The setup family: what the configuration alone shows, before the first step.

Invariant: a default alone is never more than information, and what needs a tokenizer, prompts or a disk is
listed as not checked, with what would enable it.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, Severity, Verdict
from rldk.health.rules import setup_generation
from rldk.health.rules.pending import NotCheckable
from rldk.health.rules.setup_rule import SetupRule

__all__ = ["RULES"]


class EosNeverLearned(NotCheckable):
    """The model cannot learn to stop: the end of the answer is not among the trained labels.

    ## What it looks for
    EOS tokens whose label is -100 in the first batch of supervised fine-tuning.

    ## Why it matters
    The tuned model never ends its answers; in later RL all completions are cut.

    ## How it decides
    It needs the labels of a batch, which no log holds: it is listed as not checked.

    ## What looks alike but is healthy
    A padding token that equals EOS: from TRL 0.17 on SFT does not mask EOS for that.

    ## What to do
    Use another token for padding, and a chat template that ends answers with EOS.

    ## Sources
    trl#1623, trl#3091, trl#3200, trl#6357, trl#696, trl#2059; alignment-handbook#127.
    """

    code, name, severity = "SET001", "eos-never-learned", Severity.WARNING
    algorithms = frozenset({"sft", "gkd"})
    missing = "look at the labels of one batch: at least one EOS must not be -100; no log holds them"


class LowLoraRate(SetupRule):
    """A LoRA adapter at the learning rate of full fine-tuning.

    ## What it looks for
    An adapter model and a learning rate of at most 2e-6.

    ## Why it matters
    LoRA needs about ten times the rate; at the default of GRPO the run looks alive and learns nothing.

    ## How it decides
    By the class of the model and `learning_rate`. Which modules are adapted is not known.

    ## What looks alike but is healthy
    A short second stage that is meant to move little.

    ## What to do
    Raise the learning rate tenfold, and adapt all linear layers.

    ## Sources
    TRL's "LoRA without regret": 1e-5 against 1e-6.
    """

    code, name = "SET006", "low-lora-rate"
    algorithms = frozenset({"grpo", "rloo", "ppo"})
    reads = ("learning_rate",)

    def inspect(self) -> Verdict | None:
        rate = self.context.number("learning_rate")
        if rate is None or not 0 < rate <= 2e-6 or not (self.context.model_class or "").startswith("Peft"):
            return None
        return self.info(
            f"an adapter is trained at a learning rate of {rate:g}, which is one for full fine-tuning",
            {"learning_rate": rate, "model_class": self.context.model_class},
        )

    def causes(self) -> list[Cause]:
        return [Cause("the default of full fine-tuning", (Remedy("raise `learning_rate`", scale=10),))]


class HiddenNonFinite(SetupRule):
    """fp16 may overflow, and the log is set to hide a loss that is NaN.

    ## What it looks for
    `fp16` together with `logging_nan_inf_filter`.

    ## Why it matters
    The trainer then logs 0 or an average where the loss was NaN, and the curve looks well.

    ## How it decides
    By these options. The filter alone is the default and says nothing: non-finite looks at gradient norms.

    ## What looks alike but is healthy
    Most runs with the filter on, for none of their losses is NaN.

    ## What to do
    Turn the filter off, or train in bf16.

    ## Sources
    transformers' Trainer; transformers#13619.
    """

    code, name = "SET007", "hidden-non-finite"
    reads = ("fp16", "logging_nan_inf_filter")

    def inspect(self) -> Verdict | None:
        option = self.context.option
        if option("fp16") is not True or option("logging_nan_inf_filter") is not True:
            return None
        return self.info(
            "training in fp16, whose losses may be NaN, which the log would not show",
            {"fp16": True, "logging_nan_inf_filter": True},
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the default filter of the trainer",
                (
                    Remedy("set `logging_nan_inf_filter=False`"),
                    Remedy("set `bf16=True` in place of `fp16`"),
                ),
            )
        ]


class SparseLogging(SetupRule):
    """So few records are logged that most rules will have nothing to judge.

    ## What it looks for
    Planned steps over `logging_steps` below 20.

    ## Why it matters
    Rules ask for an effect that lasts; with a dozen records trouble is told late or not at all.

    ## How it decides
    By `max_steps` and `logging_steps`, where both are known and the run has at least 20 steps.

    ## What looks alike but is healthy
    A trial of a few steps.

    ## What to do
    Log every step: it costs nothing against a step of training.

    ## Sources
    TRL logs every ten steps by default, each record a mean of ten.
    """

    code, name = "SET008", "sparse-logging"
    reads = ("max_steps", "logging_steps")

    def inspect(self) -> Verdict | None:
        steps, every = self.context.number("max_steps"), self.context.number("logging_steps")
        if steps is None or every is None or self.context.option("logging_strategy") not in (None, "steps"):
            return None
        every = every if every >= 1 else every * steps
        if steps < 20 or every <= 1 or steps / every >= 20:
            return None
        return self.info(
            f"{steps:.0f} steps logged every {every:.0f} give {steps / every:.0f} records: few to judge by",
            {"max_steps": steps, "logging_steps": every},
        )

    def causes(self) -> list[Cause]:
        return [Cause("sparse logging", (Remedy("set `logging_steps` to 1", down_to=1),))]


class RowsCut(NotCheckable):
    """Rows are cut by the length limit of supervised fine-tuning, and their answers with them.

    ## What it looks for
    The share of rows longer than `max_length`.

    ## Why it matters
    What is cut is not trained; where it is the whole answer nothing is: see labels-masked.

    ## How it decides
    It needs the data, which no log holds: it is listed as not checked.

    ## What looks alike but is healthy
    A few very long rows.

    ## What to do
    Raise `max_length`, whose default is 1,024.

    ## Sources
    trl#6668, trl#6320.
    """

    code, name, severity = "SET012", "rows-cut", Severity.WARNING
    algorithms = frozenset({"sft", "gkd"})
    missing = "count the rows that are longer than max_length tokens; no log holds them"


RULES: tuple[type[Rule], ...] = (
    EosNeverLearned,
    LowLoraRate,
    HiddenNonFinite,
    SparseLogging,
    RowsCut,
    *setup_generation.RULES,
)
"""Rules of the setup family."""
