"""Runs that tests of several rules of the reward family use."""

import numpy as np

from rldk.testing import line, noise

N = 200


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=N):
    """A reward that rises and then stands."""
    rise = np.concatenate([line(start, end, records // 2), np.full(records - records // 2, end)])
    return rise + noise(records, sd, seed=seed, rho=0.3)


def flat(level, seed=0, sd=0.05, records=N):
    return level + noise(records, sd, seed=seed)
