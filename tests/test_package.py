"""The package as it is imported."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rldk
from processes import run_script


def loaded_by(code):
    """The modules that code loads besides those that Python starts with."""
    after = "print(json.dumps(sorted({*sys.modules} - before)))"
    result = run_script(f"import sys, json; before = {{*sys.modules}}\n{code}\n{after}")
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_rldk_loads_its_version_and_a_little_of_the_standard_library():
    loaded = loaded_by("import rldk")
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "rldk",
        "rldk._version",
    }
    assert "importlib.metadata" not in loaded  # which looks for plug-ins


def test_the_help_of_the_command_line_loads_nothing_heavy():
    loaded = loaded_by("from rldk.cli import main; main(['--help'], standalone_mode=False)")
    assert "click" in loaded
    assert not loaded & {
        "torch",
        "transformers",
        "trl",
        "numpy",
        "rich",
        "pandas",
        "pyarrow",
        "importlib.metadata",
    }


def test_reading_a_run_loads_no_training_framework():
    loaded = loaded_by("from rldk import Event, Run, RLDKError, open_run")
    assert "msgspec" in loaded
    assert not loaded & {"torch", "transformers", "trl", "numpy", "rich", "pyarrow"}


def test_the_parts_that_record_load_no_training_framework():
    loaded = loaded_by("import rldk.recording.recorder, rldk.recording.environment, rldk.report.final_report")
    assert not loaded & {"torch", "transformers", "trl"}


NEED_TRANSFORMERS = {"RLDKCallback", "observe_rewards"}
PUBLIC = {
    *("judge", "open_run", "record", "Run", "Event", "Sample"),
    *("Diagnosis", "Finding", "Severity", "Settings", "RULES"),
    *("Rule", "RuleOptions", "Observation", "Verdict", "Cause", "Remedy"),
    *("RLDKCallback", "observe_rewards", "TRLAdapter", "RLDKError", "__version__"),
}


def test_judging_a_run_loads_no_training_framework_and_neither_numpy_nor_rich():
    loaded = loaded_by(
        "import rldk; [getattr(rldk, name) for name in ('judge', 'RULES', 'Sample', 'Settings')]"
    )
    assert "rldk.doctor.judge" in loaded
    assert not loaded & {"torch", "transformers", "trl", "numpy", "rich", "pandas", "pyarrow"}


def test_the_public_names_are_these():
    assert set(rldk.__all__) == PUBLIC
    assert set(dir(rldk)) == set(rldk.__all__)


def test_a_type_checker_sees_every_public_name():
    block = next(one for one in ast.parse(Path(rldk.__file__).read_text()).body if isinstance(one, ast.If))
    seen = {alias.name for imported in block.body for alias in imported.names}
    assert seen == set(rldk.__all__) - {"__version__"}


@pytest.mark.parametrize("name", [name for name in rldk.__all__ if name not in NEED_TRANSFORMERS])
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
