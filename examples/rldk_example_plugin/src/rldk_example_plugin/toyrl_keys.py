"""Owns the metric keys of ToyRL; two keys of one log never share a name.

The canonical names are in rldk's docs/metrics.md. A key of the log that is not here keeps its own name.
"""

from rldk.metrics.dialects import Dialect

__all__ = ["TOYRL"]

TOYRL = Dialect(
    name="toyrl",
    names={
        "return/avg": "reward_mean",
        "return/{function}": "rewards/{function}/mean",
        "policy/kl": "kl_mean",
        "policy/entropy": "entropy_mean",
        "opt/loss": "loss",
        "opt/grad_norm": "grad_norm",
    },
    title="ToyRL",
    version="2.1",
)
"""ToyRL."""
