"""Owns what a number in a training log is: one canonical name for one quantity, whoever logged it.

The same quantity has the same name in every trainer, and different quantities have different
names, so that a rule written against a name never reads something else. The names are
`METRICS`; how a framework's own keys map to them is a table a framework in
`rldk.metrics.dialects`.
"""

from rldk.metrics.canonical import METRICS, Metric

__all__ = ["METRICS", "Metric"]
