"""The trainings whose checkpoints the tests here look at."""

import pytest

from checkpoints.trained import Trained


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Real checkpoints by run and step, trained once."""
    return Trained(tmp_path_factory.mktemp("trained"))
