"""Runs that tests of several rules of the policy family use."""

import numpy as np

from rldk.testing import line, noise


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=200):
    half = records // 2
    return np.concatenate([line(start, end, half), np.full(records - half, end)]) + noise(
        records, sd, seed=seed
    )
