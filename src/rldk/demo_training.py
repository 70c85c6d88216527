"""The demo: real GRPO trainings of a tiny model, recorded and judged by rldk, in under a minute on a CPU.

Owns the toy: a language in which one counts, a base model that speaks it carelessly, and the reward.
Invariant: everything that the demo shows afterwards is read back from the files that the callback wrote.
"""

import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rldk.errors import MissingDependencyError, RLDKError
from rldk.runs import RecordedRun

__all__ = [
    "BROKEN_RATE",
    "BROKEN_STEPS",
    "LEARNING_RATE",
    "STEPS",
    "TEACHING_STEPS",
    "Progress",
    "correct",
    "teach",
    "train",
]

TEACHING_STEPS = 600
"""Steps of plain language modelling that make the base model."""
STEPS = 150
"""Optimizer steps of the training that goes well."""
BROKEN_STEPS = 50
"""Optimizer steps of the training that goes wrong."""
LEARNING_RATE = 1e-3
"""Of the training that goes well."""
BROKEN_RATE = 100 * LEARNING_RATE
"""Of the training that goes wrong: two zeros too few behind the point."""

Progress = Callable[[int, dict[str, Any]], None]
"""What is called with each step and its numbers."""

JOINERS = (",", "and", "then")
WORDS = ("<pad>", "<eos>", "count", "from", "to", ":", *JOINERS, *map(str, range(1, 41)))
CARELESSNESS = 0.12
"""How often a text skips a number, and how often it goes on where it should end."""


def correct(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """The reward: 1 where a completion counts as its prompt asks, else 0.

    >>> correct(["count from 3 to 5 :"] * 2, ["3 , 4 and 5", "3 then 5"])
    [1.0, 0.0]
    """
    rewards = []
    for prompt, completion in zip(prompts, completions, strict=True):
        first, last = (int(word) for word in prompt.split() if word.isdigit())
        numbers = [word for word in completion.split() if word not in JOINERS]
        rewards.append(float(numbers == [str(number) for number in range(first, last + 1)]))
    return rewards


def teach(
    folder: Path, *, steps: int = TEACHING_STEPS, seed: int = 0, on_step: Progress | None = None
) -> Path:
    """Make the base model: a Qwen2 of two layers that learns careless counting by language modelling.

    Args:
        folder: where the model is saved; GRPO loads its reference model from there.
        steps: optimizer steps.
        seed: of the weights and the texts.
        on_step: called with each step and its loss.

    Returns:
        The path of the model.

    Raises:
        MissingDependencyError: TRL is not installed.
    """
    _prepare_libraries()
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    chance = random.Random(seed)
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,  # TRL 0.23 allows for prompts of 512 tokens
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            tie_word_embeddings=False,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters())
    with _one_thread():
        for step in range(1, steps + 1):
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - (step - 1) / steps)
            batch = tokenizer([_text(chance) for _ in range(32)], padding=True, return_tensors="pt")
            labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
            loss = model(**batch, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if on_step is not None:
                on_step(step, {"loss": loss.item()})
    path = folder / "tiny-qwen2"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def train(
    base: Path,
    output_dir: Path,
    run_id: str = "demo",
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    on_log: Progress | None = None,
) -> RecordedRun:
    """Train the base model by GRPO with an `RLDKCallback`, and return the recorded run.

    Args:
        base: path of the base model.
        output_dir: folder of the run's files.
        run_id: name of the run.
        steps: optimizer steps.
        learning_rate: at its peak.
        seed: of the trainer.
        on_log: called with the step and the logs of each step.

    Raises:
        MissingDependencyError: TRL is not installed.
        RLDKError: rldk is switched off, so that nothing was recorded.
    """
    _prepare_libraries()
    import datasets
    import transformers
    from trl import GRPOConfig, GRPOTrainer

    from rldk.integrations.trl import RLDKCallback, observe_rewards

    callback = RLDKCallback(output_dir=output_dir, run_id=run_id)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="rldk-demo-") as scratch, _one_thread():
        trainer = GRPOTrainer(
            model=str(base),
            reward_funcs=observe_rewards(correct),
            args=GRPOConfig(
                output_dir=scratch,
                seed=seed,
                max_steps=steps,
                logging_steps=1,
                learning_rate=learning_rate,
                warmup_steps=10,
                per_device_train_batch_size=32,
                num_generations=8,
                max_completion_length=24,
                beta=0.04,
                save_strategy="steps",
                save_steps=max(steps // 2, 1),
                save_only_model=True,
                report_to=[],
                disable_tqdm=True,
                bf16=False,
                use_cpu=True,
            ),
            train_dataset=datasets.Dataset.from_list(
                [{"prompt": _prompt(*_task(chance))} for _ in range(64)]
            ),
            processing_class=_tokenizer(),
            callbacks=[callback],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        if on_log is not None:
            trainer.add_callback(_watcher(transformers.TrainerCallback, on_log))
        trainer.train()
    if callback.files is None or not callback.files.parts():
        raise RLDKError(
            "nothing was recorded: RLDK_DISABLED or RLDK_DISABLE_JSONL is set. Try: env -u RLDK_DISABLED "
            "-u RLDK_DISABLE_JSONL rldk demo"
        )
    return RecordedRun(callback.files)


def _task(chance: random.Random) -> tuple[int, int]:
    """From which number to count, and to which."""
    first = chance.randint(1, 15)
    return first, first + chance.randint(2, 4)


def _prompt(first: int, last: int) -> str:
    return f"count from {first} to {last} :"


def _text(chance: random.Random) -> str:
    """What the base model reads: a prompt and a completion, now and then with a slip."""
    first, last = _task(chance)
    number = first + (chance.random() < CARELESSNESS)
    words = [str(number)]
    while number < last or chance.random() < CARELESSNESS:
        number += 1 + (chance.random() < CARELESSNESS)
        words += [chance.choice(JOINERS), str(number)]
    return " ".join([_prompt(first, last), *words, "<eos>"])


def _tokenizer() -> Any:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        # TRL 0.23 passes every model input on to generate(), which knows no token_type_ids.
        model_input_names=["input_ids", "attention_mask"],
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch: a model this small is slower on more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _watcher(base: type, on_log: Progress) -> Any:
    """A callback that passes train logs on."""

    class Watcher(base):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            on_log(state.global_step, logs or {})

    return Watcher()


def _prepare_libraries() -> None:
    """Import what a training needs, and keep the chatter of the libraries out of the demo's page."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        import datasets
        import transformers
        import trl  # noqa: F401 - that it is there
    except ImportError:
        raise MissingDependencyError("The demo", "trl") from None
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
