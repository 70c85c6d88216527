"""Runs that tests of several rules of the generation family use."""

import numpy as np

from rldk.testing import line, noise


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=200):
    half = records // 2
    return np.concatenate([line(start, end, half), np.full(records - half, end)]) + noise(
        records, sd, seed=seed
    )


N = 160


def share(*parts, seed=0, sd=0.04):
    series = np.concatenate(parts)
    return (series + noise(len(series), sd, seed=seed)).clip(0, 1)


def reward(start, end, seed=0, sd=0.05):
    return line(start, end, N) + noise(N, sd, seed=seed + 50)


def rises(at=60, to=0.85, start=0.1):
    return [np.full(at, start), line(start, to, 20), np.full(N - at - 20, to)]
