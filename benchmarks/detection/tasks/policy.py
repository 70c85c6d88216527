"""The policies that the wide set starts from: a small Qwen2, taught a task until it is so often right.

Invariant: a task, a level of skill and the seed here give the same policy, which ends its answers by `<eos>`.
"""

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
import toys
from transformers import PreTrainedTokenizerFast

from tasks.task import Task

Skill = Literal["weak", "middle", "strong"]
SKILLS: dict[str, float] = {"weak": 0.15, "middle": 0.45, "strong": 0.8}
"""How often a policy is right on held-out prompts when its teaching ends; between 0.1 and 0.9."""
EVERY = 25
"""Steps of teaching between two measurements."""
MOST = 6000
ASKED = 256
"""Held-out prompts of a measurement."""


def tokenizer(task: Task, eos: str = "<eos>") -> PreTrainedTokenizerFast:
    """One token a word."""
    return toys.tokenizer(eos, task.words)


def policy(task: Task, skill: Skill) -> str:
    """The path of the policy, taught at the first call on a machine."""
    folder = Path(tempfile.gettempdir()) / f"rldk-detection-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    path = folder / f"{task.name}-{skill}"
    with (folder / f"{task.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path / "config.json").exists():
            _teach(task, SKILLS[skill], path)
    return str(path)


def accuracy(model: Any, tokens: PreTrainedTokenizerFast, task: Task, count: int = ASKED) -> float:
    """How often sampled answers to held-out prompts are right. The random state of the caller is kept."""
    prompts = task.held_out(count)
    tokens.padding_side, side = "left", tokens.padding_side
    batch = tokens(prompts, padding=True, return_tensors="pt")
    tokens.padding_side = side
    training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        written = model.generate(
            **batch,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=task.limit,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.convert_tokens_to_ids("<eos>"),
        )
    model.train(training)
    texts = tokens.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    answers = [text.partition("<eos>")[0].split() for text in texts]  # another may be the end
    right = sum(task.exact(prompt, words) for prompt, words in zip(prompts, answers, strict=True))
    return right / count


def _teach(task: Task, enough: float, path: Path) -> None:
    tokens = tokenizer(task)
    torch.manual_seed(0)
    chance = random.Random(0)
    model = toys.blank_model(tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(MOST):
        prompts = [task.training(chance) for _ in range(64)]
        rows = [f"{prompt} {task.answer(prompt)} <eos>" for prompt in prompts]
        batch = tokens(rows, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % EVERY == EVERY - 1 and accuracy(model, tokens, task) >= enough:
            break
    else:
        raise RuntimeError(f"{task.name}: not right in {enough:.0%} after {MOST} steps")
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.save_pretrained(path)
    tokens.save_pretrained(path)
