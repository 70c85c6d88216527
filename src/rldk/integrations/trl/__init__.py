"""rldk inside a TRL or transformers training: one callback.

Raises:
    MissingDependencyError: transformers is not installed.
"""

from importlib.util import find_spec

from rldk.errors import MissingDependencyError

if find_spec("transformers") is None:
    raise MissingDependencyError("rldk.integrations.trl", "transformers")

from rldk.integrations.trl.callback import RLDKCallback

__all__ = ["RLDKCallback"]
