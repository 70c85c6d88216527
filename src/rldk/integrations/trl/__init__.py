"""rldk inside a TRL or transformers training: one callback, and what reads again what TRL left.

Raises:
    MissingDependencyError: transformers is not installed.
"""

from importlib.util import find_spec

from rldk.errors import MissingDependencyError

if find_spec("transformers") is None:
    raise MissingDependencyError("rldk.integrations.trl", "transformers")

from rldk.integrations.trl.callback import RLDKCallback
from rldk.integrations.trl.rewards import observe_rewards
from rldk.runs import TRLAdapter

__all__ = ["RLDKCallback", "TRLAdapter", "observe_rewards"]
