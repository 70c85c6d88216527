"""The system family: whether the machine keeps up, how a run ends, and whether a resumed run is the same."""

from rldk.health.rule import Rule
from rldk.health.rules.system.crash import Crash
from rldk.health.rules.system.disk_nearly_full import DiskNearlyFull
from rldk.health.rules.system.gpu_idle import GPUIdle
from rldk.health.rules.system.memory_creep import MemoryCreep
from rldk.health.rules.system.resume_jump import ResumeJump
from rldk.health.rules.system.slow_steps import SlowSteps
from rldk.health.rules.system.stall import Stall
from rldk.health.rules.system.straggler import Straggler
from rldk.health.rules.system.unfinished_run import UnfinishedRun

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    ResumeJump,
    Stall,
    SlowSteps,
    MemoryCreep,
    UnfinishedRun,
    Crash,
    GPUIdle,
    DiskNearlyFull,
    Straggler,
)
"""The rules of the family, by code."""
