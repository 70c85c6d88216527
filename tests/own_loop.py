"""What a training loop of the user's stands on, in the pages of the documentation."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def save(folder):
    Path(folder).mkdir(parents=True)
    save_file({"w": np.ones((2, 2), np.float32)}, Path(folder) / "model.safetensors")


NAMES = {
    "config": {"learning_rate": 1e-6},
    "batches": range(4),
    "train_on": lambda batch: (0.1 * batch, 0.01, 1.0),
    "generate": lambda _: (["p", "p"], ["good", "bad"], [1.0, 0.0]),
    "save": save,
}
