"""Faults of known size, and patterns of health, put into healthy logs.

`inject` and `vary` are pure: the same base, name, magnitude, onset and seed give the same log, and the base
stays as it is.
"""

import zlib
from typing import NamedTuple

import numpy as np

from injection.base import Base
from injection.edit import KL, Edit
from injection.families import FAMILIES
from injection.patterns import PATTERNS
from rldk.health.observation import Observation

__all__ = ["FAMILIES", "PATTERNS", "Injected", "inject", "is_hidden", "seed_of", "vary"]

HIDDEN_BELOW = 5.0
"""A KL below so many times the log's own early one is no finding that is due."""


class Injected(NamedTuple):
    """A log with something in it."""

    records: list[Observation]
    onset: int
    """The train record at which it begins, counted from 0."""


def seed_of(*parts: object) -> int:
    """A seed that is the same in every process."""
    return zlib.crc32("|".join(map(str, parts)).encode())


def inject(base: Base, name: str, magnitude: float, onset: float, seed: int = 0) -> Injected:
    """The base with a fault of a family in it, from a share of the log on."""
    family = FAMILIES[name]
    # The magnitude is no part of the seed: a greater fault has the same noise.
    edit = Edit(base, onset if family.has_onset else 0.0, seed_of(base.name, name, onset, seed))
    family.fault(edit, magnitude)
    return Injected(edit.records(), edit.onset)


def vary(base: Base, name: str, seed: int = 0) -> Injected:
    """The base with a pattern of health in it."""
    edit = Edit(base, 0.0, seed_of(base.name, name, seed))
    PATTERNS[name].put(edit)
    return Injected(edit.records(), 0)


def is_hidden(base: Base, name: str, magnitude: float) -> bool:
    """Whether the fault is small beside what the log shows anyway."""
    own = base.series(KL) if name.startswith("kl-") else None
    return own is not None and magnitude < HIDDEN_BELOW * float(np.mean(own[: max(len(own) // 2, 1)]))
