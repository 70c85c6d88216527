"""Owns the canonical metrics: one name per quantity, and one true sentence about it.

A sentence describes the value for one batch. Unless it says otherwise, the logged value is the mean over the
batches since the last record, across all processes. In the sentences, 0.23 and 1.16 are the versions of TRL
whose sources were read; the sentences claim nothing about other versions. The dialects name the versions of
other trainers.
"""

from rldk.metrics.metric import Metric
from rldk.metrics.objective_rows import OBJECTIVE_ROWS
from rldk.metrics.policy_rows import POLICY_ROWS
from rldk.metrics.preference_rows import PREFERENCE_ROWS
from rldk.metrics.resource_rows import RESOURCE_ROWS
from rldk.metrics.reward_observer_rows import REWARD_OBSERVER_ROWS
from rldk.metrics.reward_rows import REWARD_ROWS
from rldk.metrics.runtime_rows import RUNTIME_ROWS
from rldk.metrics.trainer_rows import TRAINER_ROWS

__all__ = ["METRICS"]

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *TRAINER_ROWS,
        *REWARD_ROWS,
        *POLICY_ROWS,
        *OBJECTIVE_ROWS,
        *PREFERENCE_ROWS,
        *RUNTIME_ROWS,
        *RESOURCE_ROWS,
        *REWARD_OBSERVER_ROWS,
    )
}
"""Every canonical metric by its name."""
