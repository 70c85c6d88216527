"""Settings for all tests, and what tests of several folders use."""

import signal
import threading
import time
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


WATCHERS = {"rldk-watchdog", "rldk-resources", "rldk-signals"}
"""Threads of a training that goes on."""
END_SECONDS = 30
"""How long these may take to see that a training is over."""


def pytest_collection_modifyitems(items):
    """Files with trainings come first: they take longest, and processes side by side then end together."""
    trains = {item.path for item in items if item.get_closest_marker("training")}
    items.sort(key=lambda item: item.path not in trains)


@pytest.fixture(autouse=True)
def _ends_what_it_begins():
    """A training that a test leaves would meet later tests, and end with a line behind the last one."""
    before = set(threading.enumerate())
    yield
    give_up = time.monotonic() + END_SECONDS
    while left := {one.name for one in set(threading.enumerate()) - before} & WATCHERS:
        assert time.monotonic() < give_up, left
        time.sleep(0.01)  # in slices, as the main thread has to put signal handlers back


@pytest.fixture
def installed(tmp_path):
    """Installs a package for one test: a group, its entry points, the source of its modules by name."""
    with plugins_loaded_anew() as patch:
        folder = tmp_path / "package"
        patch.syspath_prepend(folder)
        yield partial(register, folder)
