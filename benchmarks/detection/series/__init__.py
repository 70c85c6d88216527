"""The table of the simulated series: which fault, how it is drawn, what it is to be called."""

from series.grpo import GRPO
from series.offline import OFFLINE
from series.ppo import PPO
from series.row import Series

__all__ = ["SERIES", "Series"]

SERIES: list[Series] = [*GRPO, *PPO, *OFFLINE]
