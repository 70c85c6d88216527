"""Runs that tests of several rules of the reward family use."""

import numpy as np

from rldk.testing import noise

N = 80


def observed(name, *, missing=0.0, errors=0.0, infinite=0.0, seconds=0.01, calls=1.0):
    """The metrics of an observed function; a number stands for a constant column."""
    values = {
        "calls": calls,
        "missing_frac": missing,
        "errors": errors,
        "nonfinite_frac": infinite,
        "seconds": seconds,
    }
    return {f"reward_functions/{name}/{kind}": np.zeros(N) + value for kind, value in values.items()}


def logged(*names):
    """What TRL logs of functions."""
    columns = {"reward_mean": 0.5 + noise(N, 0.05)}
    for name in names:
        columns |= {f"rewards/{name}/mean": 0.5 + noise(N, 0.05), f"rewards/{name}/std": np.full(N, 0.2)}
    return columns


def share(level, seed=0):
    return (level + noise(N, 0.05, seed=seed)).clip(0, 1)
