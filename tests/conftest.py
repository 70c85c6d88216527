"""Settings for all tests."""

import signal

from hypothesis import settings

# A test may take as long as a busy machine makes it.
settings.register_profile("rldk", deadline=None)
# pytest --hypothesis-profile=thorough
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("rldk")

# Started in the background of a shell, pytest ignores Ctrl-C, and so would the processes it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
