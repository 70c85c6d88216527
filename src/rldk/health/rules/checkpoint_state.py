"""The checkpoint family, of what stands beside the weights: the vocabulary and the optimizer.

Invariant: padding, tied heads, and experts that saw no token are normal.
"""

import re

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint_rule import CheckpointRule, named
from rldk.schema.checkpoint import Analysis, Optimizer, Vocabulary

__all__ = ["RULES"]

_OTHER_SENSES = re.compile(r"image|audio|video|vision|speech|sound", re.IGNORECASE)
_JUMPING = ("cosine_with_restarts", "reduce_lr_on_plateau", "cosine_warmup_with_min_lr")
"""Schedules of transformers whose next rate may be far from the last."""


class VocabularyMismatch(CheckpointRule):
    """Embeddings, head, configuration and tokenizer disagree on the vocabulary.

    ## What it looks for
    Rows of the input embeddings and of the output head, `vocab_size` and `tie_word_embeddings` of
    `config.json`, and the ids of `tokenizer.json`.

    ## Why it matters
    A token without a row is an index error on the first text that holds it, on a GPU without a line of where.
    Rows that do not fit the configuration cannot be loaded, and a missing head is made anew at random.

    ## How it decides
    An added token without a row; a head and embeddings, or embeddings and `vocab_size`, of different rows; a
    head that is missing although the weights are not tied, or that is saved and different although they are:
    a warning.

    ## What looks alike but is healthy
    More rows than tokens is padding. More rows than the head has, where the head fits `vocab_size`, are of
    tokens that are not predicted (Mllama). A tied head is not saved. Tokens for images and sounds in a model
    of text alone have no rows (Gemma 3).

    ## What to do
    Call `model.resize_token_embeddings(len(tokenizer))` before the trainer is built; with an adapter, save
    the embeddings too.

    ## Sources
    peft#2415, peft#1554, peft#1932; unsloth#978.
    """

    code, name, severity = "CKP007", "vocabulary-mismatch", Severity.WARNING

    def judge(self, found: Analysis) -> Verdict | None:
        sizes = found.vocabulary
        texts = _disagreements(sizes) if sizes is not None else []
        if sizes is None or not texts:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message="; ".join(texts[:3]),
            evidence={
                "embedding_rows": sizes.embedding_rows,
                "head_rows": sizes.head_rows,
                "vocab_size": sizes.config_rows,
                "tokens": sizes.tokens,
                "tied": sizes.tied,
                "beyond": sizes.beyond,
            },
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "tokens were added to the tokenizer and not to the model",
                (Remedy('call "model.resize_token_embeddings(len(tokenizer))" before the trainer is built'),),
                0.6,
            ),
            Cause(
                "the tokenizer or the configuration of another model lies beside the weights",
                (Remedy("copy those of the model that was trained"),),
                0.4,
            ),
        ]


def _disagreements(sizes: Vocabulary) -> list[str]:
    rows, texts = sizes.embedding_rows or 0, []
    beyond = [token for token in sizes.beyond if not _OTHER_SENSES.search(token)]
    if beyond:
        texts.append(
            f"the embeddings have {rows:,} rows, the tokenizer {sizes.tokens:,}: none for {named(beyond)}"
        )
    elif sizes.tokens is not None and sizes.tokens > rows and not sizes.beyond:
        texts.append(f"the embeddings have {rows:,} rows, the tokenizer {sizes.tokens:,} tokens")
    # Mllama embeds its image tokens too, and predicts none of them
    spare = sizes.head_rows is not None and sizes.head_rows == sizes.config_rows and sizes.head_rows < rows
    if sizes.head_rows is not None and sizes.head_rows != rows and not spare:
        texts.append(f"the embeddings have {rows:,} rows, the head {sizes.head_rows:,}")
    if sizes.config_rows is not None and sizes.config_rows != rows and not spare:
        texts.append(f"the embeddings have {rows:,} rows, config.json says {sizes.config_rows:,}")
    if sizes.tied is False and sizes.head_rows is None and sizes.needs_head:
        texts.append("the output head is missing, and config.json says that it is not tied to the embeddings")
    if sizes.tied and sizes.heads_equal is False and sizes.head_rows == rows:
        texts.append("config.json says that the head is tied to the embeddings, but the two differ")
    return texts


class OptimizerState(CheckpointRule):
    """The optimizer or the scheduler of a checkpoint cannot go on where the training was.

    ## What it looks for
    In `optimizer.pt`: a state for each parameter, equal step counters, finite moments. In `scheduler.pt`: the
    next learning rate, against the optimizer's and the last one logged.

    ## Why it matters
    A resumed run jumps: a lost state is a first step of full size for a parameter in the middle of training.

    ## How it decides
    A warning: NaN or infinities; an optimizer of Adam's kind without any state, or with unequal counters, or
    with fewer states than tensors changed since the checkpoint before; rates of optimizer and scheduler that
    differ; a next rate that is off the last logged one by a factor of two and by three times the steepest
    change of a step in the last ten records. Info: other missing states, where the rest took all the steps;
    missing states and unequal counters of a mixture of experts or of a model with towers; a rate that rises
    under a schedule that is not known, which may have restarts; counters below half of the steps, after a
    resume without the optimizer.

    ## What looks alike but is healthy
    SGD without momentum has no state. Parameters that never get a gradient have none either: the pooler of an
    encoder, experts that were never chosen, towers for images that saw none. fp16 skips steps.

    ## What to do
    Resume from a checkpoint whose optimizer is whole: `trainer.train(resume_from_checkpoint=path)`.

    ## Sources
    open-r1#450; verl#3754.
    """

    code, name, severity = "CKP008", "optimizer-state", Severity.WARNING

    class Options(RuleOptions, frozen=True):
        """Thresholds of optimizer-state."""

        ratio: float = 2.0
        """Factor between the next learning rate and the last one logged."""
        steepest: float = 3.0
        """Multiple of the steepest change of the learning rate in one step."""

    _resting = False
    """What has no state seems to have got no gradient."""

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
                "non_finite": [one.name for one in state.non_finite],
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
            names = named([one.name for one in state.non_finite])
            problems.append((Severity.WARNING, f"states of the optimizer hold NaN or infinities: {names}"))
        if state.moments and state.without_state and step > 0:
            none = state.without_state == state.parameters
            text = f"{state.without_state} of {state.parameters} parameters have no state in the optimizer"
            problems.append((Severity.WARNING if none else Severity.INFO if resting else unsure, text))
        low, high = state.fewest_steps, state.most_steps
        if low is not None and high is not None and low != high:
            problems.append((unsure, f"the parameters have taken from {low} to {high} steps"))
        elif high is not None and high < step / 2:
            problems.append(
                (Severity.INFO, f"the optimizer has taken {high} steps of {step}: it was made anew")
            )
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
        following = state.scheduled_lr[0]  # the trainer logs that of the first group
        low, high = sorted((following, logged))
        if high <= self.options.ratio * low or high - low <= self.options.steepest * steepest:
            return []
        severity = Severity.INFO if following > logged and schedule is None else Severity.WARNING
        text = (
            f"the scheduler goes on with a learning rate of {following:.3g}, the last logged is {logged:.3g}"
        )
        return [(severity, text)]

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the optimizer or the scheduler was made anew, or is of another run",
                (Remedy('resume from the last whole one: "trainer.train(resume_from_checkpoint=path)"'),),
                0.6,
            ),
            Cause(
                "some parameters get no gradient",
                (
                    Remedy(
                        'freeze what is not to learn ("requires_grad_(False)") before the trainer is built'
                    ),
                ),
                0.9 if self._resting else 0.3,
            ),
            Cause("a gradient that was not finite reached the optimizer: see checkpoint-non-finite", (), 0.3),
        ]


def _has_zero_rate(found: Analysis, state: Optimizer) -> bool:
    """Whether parameters are without a state, and may be such that never got a gradient.

    Those that did have taken all the steps, and are all that changed. More tensors than parameters: they were
    cut differently for the file, and tell nothing.
    """
    low, high, compared = state.fewest_steps, state.most_steps, found.compared
    if not state.without_state or low is None or low != high or low < (found.step or 0) / 2:
        return False
    changed = compared.tensors - compared.unchanged_tensors if compared is not None else 0
    return not state.parameters - state.without_state < changed <= state.parameters


RULES: tuple[type[Rule], ...] = (VocabularyMismatch, OptimizerState)
