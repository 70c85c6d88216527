"""Runs that tests of several rules of the preference family use."""

import numpy as np

from health.rows import trains
from rldk.testing import line, noise


def dpo(records=150, seed=0, spacing=1, chosen=-1.5, margin=1.2, **more):
    """A healthy DPO run: the loss falls, the margin rises, the chosen reward falls a little."""
    margins = line(0, margin, records) + noise(records, 0.25, seed=seed)
    columns = {
        "loss": 0.69 - 0.2 * np.tanh(margins / 2) + noise(records, 0.03, seed=seed + 1),
        "grad_norm": np.exp(noise(records, 0.3, seed=seed + 2)),
        "rewards_margins": margins,
        "rewards_chosen": line(0, chosen, records) + noise(records, 0.15, seed=seed + 3),
        "rewards_accuracies": np.clip(0.5 + margins / 4, 0, 1),
        "logps_chosen": -150 + line(0, 10 * chosen, records) + noise(records, 5, seed=seed + 4),
        "epoch": line(0, 1, records),
    }
    return trains(spacing, **{**columns, **more})
