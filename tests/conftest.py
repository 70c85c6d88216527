"""Settings for all tests."""

from hypothesis import settings

# A test may take as long as a busy machine makes it.
settings.register_profile("rldk", deadline=None)
settings.load_profile("rldk")
