"""Reads a checkpoint, and its changes since the previous one, tensor by tensor, without torch."""

from rldk.checkpoints.analyst import Analyst, analyse
from rldk.checkpoints.background import Background
from rldk.schema.checkpoint import Analysis

__all__ = ["Analysis", "Analyst", "Background", "analyse"]
