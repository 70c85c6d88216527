"""The package as it is imported."""

import json
import subprocess
import sys

import pytest

import rldk
from processes import run_script


def loaded_by(code):
    result = run_script(f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))")
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_importing_rldk_loads_nothing_heavy():
    assert not loaded_by("import rldk") & {
        "torch",
        "transformers",
        "trl",
        "numpy",
        "rich",
        "click",
        "msgspec",
    }


def test_reading_a_run_loads_no_training_framework():
    loaded = loaded_by("from rldk import Event, Run, RLDKError, open_run")
    assert "msgspec" in loaded
    assert not loaded & {"torch", "transformers", "trl", "numpy", "rich", "pyarrow"}


def test_the_parts_that_record_load_no_training_framework():
    loaded = loaded_by("import rldk.recording.recorder, rldk.recording.environment, rldk.report.final_report")
    assert not loaded & {"torch", "transformers", "trl"}


@pytest.mark.parametrize("name", [name for name in rldk.__all__ if name != "RLDKCallback"])
def test_each_public_name_is_there(name):
    assert getattr(rldk, name) is not None
    assert name in dir(rldk)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        rldk.no_such_name  # noqa: B018


def test_the_installed_version_is_the_one_of_the_source():
    found = subprocess.check_output(
        [sys.executable, "-c", "from importlib.metadata import version; print(version('rldk'))"], text=True
    )
    assert found.strip() == rldk.__version__
