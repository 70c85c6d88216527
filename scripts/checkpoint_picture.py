"""Takes the picture of `rldk checkpoint`, of a small model that is trained here with GRPO in bfloat16 (20 s).

It is saved as docs/images/checkpoint.svg. Two faults are put into the newest checkpoint: one layer that ran
away, and one weight that is NaN.
"""

import contextlib
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "checkpoint.svg"
LAYERS, RUNAWAY, SPOILED = 24, 17, 21

sys.path.insert(0, str(ROOT / "tests"))
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def train(folder: Path) -> Path:
    """Train, and spoil the newest checkpoint; the trainer's folder."""
    import torch
    from transformers import Qwen2ForCausalLM

    torch.set_num_threads(1)
    trained, trainings = import_module("checkpoints.trained"), import_module("integrations.trainings")
    small = Qwen2ForCausalLM.from_pretrained(trained.model(folder / "model", num_hidden_layers=LAYERS))
    saving = {"save_strategy": "steps", "save_steps": 10, "max_steps": 20, "learning_rate": 2e-5}
    trainer = trainings.grpo(small.to(torch.bfloat16), folder, **saving)
    trainer.train()
    out = Path(trainer.args.output_dir)
    import_module("checkpoints.seeded").change_tensors(out / "checkpoint-20", spoil)
    return out


def spoil(tensors: dict[str, Any]) -> None:
    """Let one layer run away, and make one weight of another NaN."""
    for name, tensor in tensors.items():
        if f"layers.{RUNAWAY}.mlp" in name:
            tensor.mul_(1.01)
        if f"layers.{SPOILED}.self_attn.o_proj" in name:
            tensor.view(-1)[5] = float("nan")


def main() -> None:
    """Train, look, save."""
    from rich.console import Console

    from rldk.cli.checkpoint import examine_checkpoint
    from rldk.report.checkpoint_page import print_checkpoint

    console = Console(record=True, width=92, force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        out = train(Path(folder))
        with contextlib.chdir(out.parent):
            console.print(f"$ rldk checkpoint {out.name}", style="dim")
            print_checkpoint(console, examine_checkpoint(Path(out.name)))
            console.print()  # the frame cuts into the last line
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="rldk checkpoint")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
