"""The demo: real GRPO trainings of a tiny model, recorded and judged by rldk, in under a minute on a CPU.

Owns the toy (model, tokenizer, prompts, reward). Invariant: everything that it shows afterwards is
read back from the files that the callback wrote.
"""

import os
import re
import string
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rldk.errors import MissingDependencyError, RLDKError
from rldk.runs import RecordedRun

__all__ = ["BROKEN_STEPS", "STEPS", "answers", "train", "vowels"]

STEPS = 200
"""Optimizer steps of the demo."""
BROKEN_STEPS = 60
"""Optimizer steps of the training that goes wrong."""

PROMPTS = ["sing", "sing a", "sing a song", "hum", "hum a", "hum a tune", "call", "call out"]

Reward = Callable[..., list[float]]
Progress = Callable[[int, dict[str, Any]], None]


def vowels(completions: list[str], **_: Any) -> list[float]:
    """The reward: the share of vowels in each completion, 0 to 1."""
    return [sum(c in "aeiou" for c in text) / max(len(text), 1) for text in completions]


def answers(completions: list[str], **_: Any) -> list[float]:
    """The reward that breaks a training: its pattern never matches what this model can write."""
    return [float(bool(re.search(r"####\s*\d+", text))) for text in completions]


def train(
    output_dir: Path,
    run_id: str = "demo",
    *,
    steps: int = STEPS,
    reward: Reward = vowels,
    on_log: Progress | None = None,
) -> RecordedRun:
    """Train the toy by GRPO with an `RLDKCallback`, and return the recorded run.

    Args:
        output_dir: folder of the run's files.
        run_id: name of the run.
        steps: optimizer steps.
        reward: the reward function.
        on_log: called with the step and the logs of each step.

    Raises:
        MissingDependencyError: TRL is not installed.
    """
    try:
        import datasets
        import torch
        import transformers
        from trl import GRPOConfig, GRPOTrainer
    except ImportError:
        raise MissingDependencyError("The demo", "trl") from None
    from rldk.integrations.trl import RLDKCallback, observe_rewards

    _quiet(transformers, datasets)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a model this small is slower on more
    callback = RLDKCallback(output_dir=output_dir, run_id=run_id)
    with tempfile.TemporaryDirectory(prefix="rldk-demo-") as scratch:
        trainer = GRPOTrainer(
            model=_save_model(Path(scratch)),
            reward_funcs=observe_rewards(reward),
            args=GRPOConfig(
                output_dir=os.path.join(scratch, "trainer"),
                max_steps=steps,
                logging_steps=1,
                learning_rate=1e-3,
                per_device_train_batch_size=16,
                num_generations=8,
                max_completion_length=16,
                beta=0.02,
                save_strategy="steps",
                save_steps=max(steps // 2, 1),
                save_only_model=True,
                report_to=[],
                disable_tqdm=True,
                bf16=False,
                use_cpu=True,
            ),
            train_dataset=datasets.Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS * 8]),
            processing_class=_tokenizer(),
            callbacks=[callback],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        if on_log is not None:
            trainer.add_callback(_watcher(transformers.TrainerCallback, on_log))
        trainer.train()
    torch.set_num_threads(threads)
    if callback.files is None or not callback.files.parts():
        raise RLDKError(
            "nothing was recorded: RLDK_DISABLED or RLDK_DISABLE_JSONL is set. Try: env -u RLDK_DISABLED "
            "-u RLDK_DISABLE_JSONL rldk demo"
        )
    return RecordedRun(callback.files)


def _tokenizer() -> Any:
    """A BPE tokenizer trained on the prompts: letters, and the pieces that recur."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.decoder = decoders.Metaspace()
    alphabet = [*string.ascii_lowercase, "▁"]
    special = ["<pad>", "<eos>"]
    bpe.train_from_iterator(
        PROMPTS,
        trainers.BpeTrainer(
            vocab_size=48, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token="<eos>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _save_model(folder: Path) -> str:
    """A random Qwen2 of two layers, on disk: GRPO loads the reference model from there."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokens = _tokenizer()
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokens),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.eos_token_id,
            bos_token_id=None,
        )
    )
    path = folder / "tiny-qwen2"
    model.save_pretrained(path)
    tokens.save_pretrained(path)
    return str(path)


def _watcher(base: type, on_log: Progress) -> Any:
    """A callback that passes train logs on."""

    class Watcher(base):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            on_log(state.global_step, logs or {})

    return Watcher()


def _quiet(transformers: Any, datasets: Any) -> None:
    """Keep the chatter of the libraries out of the demo's page."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
