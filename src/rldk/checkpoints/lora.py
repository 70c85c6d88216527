"""Measures a LoRA adapter: its effect, its size, its rank, and whether its configuration fits.

Invariant: it never computes a product BA of the size of the model; r x r matrices give its norms.
"""

import math
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rldk.checkpoints.dtypes import Floats
from rldk.checkpoints.safe_open import finite, integer, read_json
from rldk.schema.checkpoint import MAX_NAMED, LoraAdapter

__all__ = ["LoraConfig", "Pairs", "adapter_of", "config_of"]

MAX_ELEMENTS = 1 << 24
"""Elements up to which it loads a lora_A or lora_B in one piece: 64 MB as float32."""
MAX_RANK = 1024
"""Rank up to which it measures a pair: an r x r matrix in float64 has 8 MB. In practice it is 4 to 256."""

MAX_WAITING = 1 << 26
"""Elements that may wait for the other matrix of their pair: 256 MB. peft saves a pair together."""
MAX_SECONDS = 30.0
"""CPU seconds for all pairs. A pair of rank 256 of an 8B model takes about 0.1 s."""
MAX_DOTS = 64
"""Dots in a name after which an entry of `target_modules` may begin; models have about ten."""

_SPELLED = ((".lora_A.weight", "a"), (".lora_B.weight", "b"))


class _Pair(NamedTuple):
    rank: int
    square: float
    """||BA||_F^2."""
    largest: float
    """||BA||_2^2."""


class Pairs:
    """Measures the lora_A and lora_B of an adapter, one module at a time; an A waits in memory for its B.

    Args:
        measuring: whether to measure products; those of `target_parameters` have no meaning.
    """

    def __init__(self, *, measuring: bool = True) -> None:
        self._measuring = measuring
        self.done: dict[str, _Pair] = {}
        """The measured pairs by module, without the prefix `base_model.model.`."""
        self.zero: list[str] = []
        """Modules whose lora_B is all zeros."""
        self.ranks: dict[str, int] = {}
        """The rank of each module, by its shapes."""
        self.unmeasured: dict[str, str] = {}
        """Modules without a measured product -> the reason, as text."""
        self._waiting: dict[str, Floats] = {}
        self._waiting_elements = 0
        self._seconds = 0.0
        self._seen: dict[str, set[str]] = {}

    @staticmethod
    def part_of(name: str) -> tuple[str, str] | None:
        """The module, and `a` or `b`, by a tensor's name; None for other tensors."""
        for suffix, side in _SPELLED:
            if name.endswith(suffix):
                return name.removesuffix(suffix).removeprefix("base_model.model."), side
        return None

    def meet(self, name: str, shape: tuple[int, ...], *, zero: bool) -> bool:
        """Record a tensor, and whether it is all zeros; returns whether `add` needs its values."""
        part = self.part_of(name)
        if part is None:
            return False
        module, side = part
        self._seen.setdefault(module, set()).add(side)
        if side == "a" and shape:
            self.ranks[module] = shape[0]
        if side == "b" and zero:
            self.zero.append(module)
        if not self._measuring or len(shape) != 2:
            return False
        rank = shape[0] if side == "a" else shape[1]
        if rank > MAX_RANK:
            self.unmeasured[module] = f"a rank of {rank:,} is above {MAX_RANK:,}"
        elif shape[0] * shape[1] > MAX_ELEMENTS:
            self.unmeasured[module] = f"lora_{side.upper()} has more than {MAX_ELEMENTS:,} elements"
        elif self._seconds > MAX_SECONDS:
            self.unmeasured[module] = f"rldk gave up after {MAX_SECONDS:g} s"
        elif module not in self._waiting and self._waiting_elements > MAX_WAITING:
            self.unmeasured[module] = "too many matrices before it wait for the other of their pair"
        if module in self.unmeasured:
            self._taken(module)
        return module not in self.unmeasured

    def add(self, name: str, values: Floats) -> None:
        """Add the values of a lora_A or lora_B; with the second of a pair, it measures the pair."""
        part = self.part_of(name)
        if part is None:
            return
        module, side = part
        other = self._taken(module)
        if other is None:
            self._waiting[module] = values
            self._waiting_elements += values.size
            return
        a, b = (values, other) if side == "a" else (other, values)
        if a.shape[0] != b.shape[1]:
            return
        started = time.thread_time()
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                self.done[module] = _measure(a, b)
        except (MemoryError, np.linalg.LinAlgError) as error:
            self.unmeasured[module] = str(error) or type(error).__name__
        self._seconds += time.thread_time() - started

    def _taken(self, module: str) -> Floats | None:
        """Remove and return the matrix of a module that waits."""
        values = self._waiting.pop(module, None)
        self._waiting_elements -= 0 if values is None else values.size
        return values

    def unpaired(self) -> list[str]:
        """Modules that have only one of the two."""
        return sorted(module for module, sides in self._seen.items() if len(sides) == 1)

    def modules(self) -> list[str]:
        """Every module with a tensor."""
        return list(self._seen)

    def notes(self) -> list[str]:
        """What was not measured, as text."""
        if not self.unmeasured:
            return []
        module, why = next(iter(self.unmeasured.items()))
        count = f"{len(self.unmeasured):,} of {len(self._seen):,}"
        return [f"size and rank of {count} modules of the adapter: {module[:100]}, {why}"]


def _measure(a: Floats, b: Floats) -> _Pair:
    """||BA||_F^2 = tr(B'B AA'), and ||BA||_2^2, its largest eigenvalue.

    r x r matrices give both. A QR would make small singular values exact, which nothing here needs. In
    float64, as float32 cannot hold the squares of weights of 1e-20.
    """
    inner, outer = _gram(b.T), _gram(a)
    square = float(np.einsum("ij,ji->", inner, outer))
    if not math.isfinite(square) or square <= 0:
        return _Pair(a.shape[0], 0.0, 0.0)
    root = np.linalg.cholesky(outer + np.eye(len(outer)) * float(np.trace(outer)) * 1e-12)
    largest = float(np.linalg.eigvalsh(root.T @ inner @ root)[-1])
    return _Pair(a.shape[0], square, largest)


def _gram(matrix: NDArray[Any]) -> NDArray[np.float64]:
    wide = matrix.astype(np.float64)
    product: NDArray[np.float64] = wide @ wide.T
    return product


class LoraConfig(NamedTuple):
    """`adapter_config.json`."""

    content: dict[str, Any] | None
    """Its content; None if it is missing or unreadable."""
    fault: str | None
    """Why it cannot be read, as text."""

    @property
    def of_parameters(self) -> bool:
        """Whether some lora_A and lora_B are of a parameter that holds all experts.

        Then one lora_A holds the ranks of all experts, and has the name of the wrapped module. Its rank, name
        and product mean something else than those of a layer.
        """
        return bool(self.content and self.content.get("target_parameters"))


def config_of(folder: str) -> LoraConfig:
    """The configuration of the adapter in a folder."""
    content, unread = read_json(os.path.join(folder, "adapter_config.json"), dict[str, Any])
    return LoraConfig(content, unread.why if unread else None)


def adapter_of(
    lora_config: LoraConfig, pairs: Pairs, tensors: Iterable[str], size: int, norms: Mapping[str, float]
) -> LoraAdapter:
    """The facts of an adapter.

    Args:
        lora_config: its configuration.
        pairs: its tensors, measured.
        tensors: the names of all its tensors.
        size: bytes of its weights.
        norms: ||W||_F of modules of the base model, if it is available.
    """
    config = lora_config.content or {}
    found = LoraAdapter(kind=_text(config.get("peft_type")), bytes=size, fault=lora_config.fault)
    found.base = _text(config.get("base_model_name_or_path"))
    found.base_missing = bool(found.base and os.path.isabs(found.base) and not os.path.isdir(found.base))
    found.r, found.alpha = integer(config.get("r")), finite(config.get("lora_alpha"))
    if found.r and found.r > 0 and found.alpha is not None:
        found.scale = found.alpha / (math.sqrt(found.r) if config.get("use_rslora") else found.r)
    found.modules, found.zero_b = len(pairs.modules()), len(pairs.zero)
    found.unpaired = pairs.unpaired()[:MAX_NAMED]
    if lora_config.of_parameters:
        return found
    if lora_config.content is not None:
        _targets(config, list(tensors), pairs, found)
        _ranks(config, pairs, found)
    _size(config, pairs, norms, found)
    return found


def _targets(config: Mapping[str, Any], tensors: list[str], pairs: Pairs, found: LoraAdapter) -> None:
    """A module matches if its name is an entry of `target_modules` or ends with `.` and the entry.

    A text is a regular expression; rldk never runs it, as a slow one would block the interpreter.
    """
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not pairs.modules():
        return
    entries = {target for target in targets if isinstance(target, str)}
    plain = [name.removeprefix("base_model.model.") for name in tensors]
    met = {entry for name in plain for entry in _ends(name.rpartition(".lora_")[0]) if entry in entries}
    found.unmatched_targets = sorted(entries - met)[:MAX_NAMED]
    meant = entries.union(_strings(config.get("modules_to_save")))
    untargeted = (module for module in pairs.modules() if meant.isdisjoint(_ends(module)))
    found.untargeted = list(islice(untargeted, MAX_NAMED))


def _ends(module: str) -> Iterable[str]:
    """Yields a name, and the part after each of its last dots; a name of 400,000 dots takes linear time."""
    parts = module.rsplit(".", MAX_DOTS)
    return (".".join(parts[i:]) for i in range(len(parts)))


def _ranks(config: Mapping[str, Any], pairs: Pairs, found: LoraAdapter) -> None:
    if found.kind != "LORA" or found.r is None or config.get("rank_pattern"):
        return
    wrong = [f"{module} has rank {rank}" for module, rank in pairs.ranks.items() if rank != found.r]
    found.wrong_rank = wrong[:MAX_NAMED]


def _size(config: Mapping[str, Any], pairs: Pairs, norms: Mapping[str, float], found: LoraAdapter) -> None:
    alive = [pair for pair in pairs.done.values() if pair.largest > 0]
    if alive:
        found.stable_rank = statistics.median(pair.square / pair.largest for pair in alive)
    if found.scale is None or config.get("alpha_pattern") or not pairs.done:
        return
    found.update = abs(found.scale) * math.sqrt(sum(pair.square for pair in pairs.done.values()))
    known = [module for module in pairs.done if module in norms]
    weights = math.sqrt(sum(norms[module] ** 2 for module in known))
    if known and weights > 0:
        moved = math.sqrt(sum(pairs.done[module].square for module in known))
        found.update_share = abs(found.scale) * moved / weights


def _text(value: Any) -> str | None:
    return value[:500] if isinstance(value, str) and value else None


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
