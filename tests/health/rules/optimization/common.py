"""Runs that tests of several rules of the optimization family use."""

import numpy as np

from health.rows import trains
from rldk.testing import line, noise


def falling(records=200, seed=0, sd=0.1, start=2.0, end=1.0):
    """A loss as fine-tuning has it: fast, then slow."""
    return end + (start - end) * np.exp(-np.arange(records) / 30) + noise(records, sd, seed=seed)


def sft(loss, spacing=1, **more):
    accuracy = more.pop("token_accuracy_mean", [0.6] * len(loss))
    return trains(spacing, loss=loss, token_accuracy_mean=accuracy, **more)


def norms(records, seed, sd=0.4):
    """Gradient norms as healthy runs have them: log-normal, with heavy tails."""
    return np.exp(noise(records, sd, seed=seed, heavy=True))


def reward(records, seed, end=0.6):
    return line(0.3, end, records) + noise(records, 0.05, seed=seed + 100)
