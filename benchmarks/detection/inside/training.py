"""One training of the table, in a process of its own: `python -m inside.training RUN FOLDER [--resumes]`.

Invariant: nothing is caught, so that the process ends as a user's would.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import faults
import recipes
import toys
import transformers
import trl
from transformers import PrinterCallback

from inside.breaking import break_into
from inside.rewards import reward
from inside.table import SAVED, Row, by_run
from rldk.integrations.trl import RLDKCallback, observe_rewards

OFFLINE = {"max_steps": 80, "eval_steps": 20}
HEALTHY: dict[str, dict[str, Any]] = {
    "grpo": recipes.ONLINE | {"max_steps": 80},
    "rloo": recipes.HEALTHY["rloo"] | {"max_steps": 80},
    "dpo": recipes.HEALTHY["dpo"] | OFFLINE,
    "sft": recipes.HEALTHY["sft"] | OFFLINE,
    "kto": recipes.HEALTHY["dpo"] | OFFLINE,
}
KINDS = {"grpo": "GRPO", "rloo": "RLOO", "dpo": "DPO", "sft": "SFT", "kto": "KTO"}
CHAT = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def config_of(row: Row, folder: Path, seed: int) -> Any:
    """The trainer's configuration."""
    kind = getattr(trl, f"{KINDS[row.trainer]}Config")
    settings = recipes.COMMON | SAVED | HEALTHY[row.trainer] | row.config
    return kind(output_dir=str(folder), seed=seed, **settings)


def build(row: Row, folder: Path, seed: int, callback: RLDKCallback) -> Any:
    """The trainer, with its break in it."""
    breaks = row.breaks
    end = "<end>" if any(name.startswith("other_end") for name in breaks) else "<eos>"
    tokenizer, model = toys.tokenizer(end), toys.base_model(end)
    args = config_of(row, folder, seed)
    if row.model == "bf16":
        args.model_init_kwargs = {"dtype": "bfloat16"}
    if row.chat:
        tokenizer.chat_template = CHAT
    arguments: dict[str, Any] = {
        "model": model,
        "args": args,
        "processing_class": tokenizer,
        "callbacks": [callback],
    }
    if row.model == "lora":
        arguments["peft_config"] = faults.lora()
    if row.trainer in ("grpo", "rloo"):
        arguments["reward_funcs"] = observe_rewards([reward(name) for name in row.rewards])
        arguments |= {"train_dataset": _prompts(row), "eval_dataset": _prompts(row).select(range(8))}
    else:
        make = {"dpo": toys.pairs, "sft": toys.texts, "kto": _labelled}[row.trainer]
        arguments |= {"train_dataset": make(seed, rows=1400), "eval_dataset": make(999, rows=128)}
    trainer = getattr(trl, f"{KINDS[row.trainer]}Trainer")(**arguments)
    trainer.remove_callback(PrinterCallback)
    for name in breaks:
        break_into(trainer, name)
    return trainer


def _prompts(row: Row) -> datasets.Dataset:
    plain = toys.prompts()
    if not row.chat:
        return plain
    return plain.map(lambda one: {"prompt": [{"role": "user", "content": one["prompt"]}]})


def _labelled(seed: int, rows: int) -> datasets.Dataset:
    pairs = toys.pairs(seed, rows=rows // 2)
    return datasets.Dataset.from_list(
        [
            {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
            for pair in pairs
            for side in ("chosen", "rejected")
        ]
    )


def main() -> None:
    """Train."""
    run, folder = sys.argv[1], Path(sys.argv[2])
    row, seed = by_run()[run], int(run.rpartition("-s")[2])
    resumes = "--resumes" in sys.argv
    if resumes:
        row = replace(row, breaks=())
    os.chdir(folder)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    trainer = build(row, folder / "trainer", seed, RLDKCallback(folder, run, truth_metric=row.truth))
    trainer.train(resume_from_checkpoint=True if resumes else None)


if __name__ == "__main__":
    main()
