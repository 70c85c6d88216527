"""Settings for all tests, and what tests of several folders use."""

import signal
from functools import partial

import pytest
from hypothesis import settings

from plugins import plugins_loaded_anew, register

# A test may take as long as a busy machine makes it.
settings.register_profile("rldk", deadline=None)
# pytest --hypothesis-profile=thorough
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("rldk")

# Started in the background of a shell, pytest ignores Ctrl-C, and so would the processes it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def installed(tmp_path):
    """Installs a package for one test: a group, its entry points, the source of its modules by name."""
    with plugins_loaded_anew() as patch:
        folder = tmp_path / "package"
        patch.syspath_prepend(folder)
        yield partial(register, folder)
