"""Measures what a training of the labelled set is for, on held-out prompts, while it trains.

Online trainings: the healthy reward of sampled completions. DPO: how often the right side of a pair gained
more likelihood. SFT: the likelihood of a token. Invariant: the measurement changes nothing of the training.
"""
# ruff: noqa: ARG002, D102 - hooks of transformers

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import recipes
import torch
import toys
from recipes import Recipe
from transformers import TrainerCallback
from wide.training import MEASURED, TRUTH

__all__ = ["build"]

COUNT = 256
"""Held-out prompts, pairs or texts of a measurement."""
TOKENS = 40
"""Most tokens of a sampled completion, as in the healthy recipe."""


def build(
    recipe: Recipe, folder: Path, seed: int, callbacks: list[TrainerCallback], *, resumes: bool = False
) -> Any:
    """The trainer of a recipe, with the measurement in it."""
    every = max(1, recipe.settings["max_steps"] // MEASURED)
    goal = Goal(recipe.trainer, folder.parent / TRUTH, every)
    return recipes.build(recipe, folder, seed, [*callbacks, goal], resumes=resumes)


class Goal(TrainerCallback):
    """Writes (step, value) pairs: the higher, the better."""

    def __init__(self, trainer: str, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.measure: Callable[..., float] = {"dpo": Preferred(), "sft": likelihood}.get(trainer, rewarded)
        self.found: list[tuple[int, float]] = json.loads(path.read_text()) if path.exists() else []

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        self._measure(state.global_step, model)

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        if state.global_step % self.every == 0:
            self._measure(state.global_step, model)

    def _measure(self, step: int, model: Any) -> None:
        training = model.training
        model.eval()
        try:
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(0)
                found = self.measure(model)
        except RuntimeError:  # NaN in the weights: nothing can be sampled
            found = 0.0
        model.train(training)
        self.found.append((step, round(found, 4)))
        self.path.write_text(json.dumps(self.found))


def rewarded(model: Any) -> float:
    """Mean of the healthy reward of completions, sampled at temperature 1 and ended by the true EOS."""
    tokens = toys.tokenizer()
    chance = random.Random(2)
    prompts = [" ".join(toys.noun_phrase(chance)) for _ in range(COUNT)]
    batch = tokens(prompts, padding=True, padding_side="left", return_tensors="pt")
    written = model.generate(
        **batch,
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=1.0,
        max_new_tokens=TOKENS,
        pad_token_id=tokens.pad_token_id,
        eos_token_id=tokens.eos_token_id,
    )
    texts = tokens.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(toys.colours([text.partition("<eos>")[0] for text in texts])) / COUNT


def likelihood(model: Any) -> float:
    """The geometric mean of the likelihood of a token of held-out texts."""
    texts = [f"{text} <eos>" for text in toys.texts(998, COUNT)["text"]]
    return float(torch.exp(_logps(model, texts).sum() / _lengths(texts)))


class Preferred:
    """How often the better side of a held-out pair gained more likelihood since the beginning than the other.

    A tie counts half.
    """

    def __init__(self) -> None:
        self.before: torch.Tensor | None = None

    def __call__(self, model: Any) -> float:
        rows = [row for row in toys.pairs(998, COUNT) if set(row["chosen"].split()) & set(toys.COLOURS)]
        sides = [[f"{row['prompt']}{row[side]} <eos>" for row in rows] for side in ("chosen", "rejected")]
        logps = _logps(model, sides[0]) - _logps(model, sides[1])
        if self.before is None:
            self.before = logps
        gained = logps - self.before
        return float(((gained > 0).float() + 0.5 * (gained == 0).float()).mean())


def _logps(model: Any, texts: Sequence[str]) -> torch.Tensor:
    """The log-likelihood of each text, given its first token."""
    batch = toys.tokenizer()(list(texts), padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"][:, 1:]
    logps = model(**batch).logits[:, :-1].log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    return (logps * batch["attention_mask"][:, 1:]).sum(1)


def _lengths(texts: Sequence[str]) -> int:
    return sum(len(text.split()) - 1 for text in texts)
