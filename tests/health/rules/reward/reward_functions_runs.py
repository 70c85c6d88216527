"""Runs that tests of several rules of the reward family use."""

import numpy as np

from rldk.testing import line, noise

N = 160


def function(name, mean, std):
    return {f"rewards/{name}/mean": mean, f"rewards/{name}/std": std}


def two(first, second):
    return (
        {"reward_mean": line(0.1, 0.8, N) + noise(N, 0.05)} | function("a", *first) | function("b", *second)
    )


SOLVED = (
    np.concatenate([line(0, 1, 50), np.ones(N - 50)]),
    np.concatenate([line(0.5, 0, 50), np.zeros(N - 50)]),
)
