"""The modules of a package: whatever a new file defines is known without an entry in a list."""

from pathlib import Path

import pytest

import rldk
from rldk._modules import modules_of
from rldk.health import RULES
from rldk.metrics.dialects.detect import DIALECTS
from rldk.runs.adapters import adapters

PACKAGE = Path(rldk.__file__).parent
RULE_FILES = sorted((PACKAGE / "health" / "rules").glob("*/[!_]*.py"))


def test_the_modules_come_by_name_and_without_packages():
    names = [name for name, _ in modules_of("rldk.health")]
    assert names == sorted(names)
    assert "rule" in names
    assert not {"rules", "normal", "__init__"} & {*names}


def test_every_file_that_defines_a_rule_is_known():
    files = [path for path in RULE_FILES if "\n    code, name" in path.read_text()]
    assert sorted(path.stem.replace("_", "-") for path in files) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_in_the_file_of_its_name(rule):
    assert rule.__module__.rpartition(".")[2] == rule.name.replace("-", "_")


def test_every_file_of_a_framework_is_a_dialect_of_its_name():
    files = {path.stem for path in (PACKAGE / "metrics" / "dialects").glob("[!_]*.py")}
    assert files - {"detect", "generic"} == {name.replace("-", "_") for name in DIALECTS}


def test_every_file_that_defines_an_adapter_is_known():
    files = [
        path.stem
        for path in (PACKAGE / "runs" / "adapters").glob("[!_]*.py")
        if "\nADAPTER = " in path.read_text()
    ]
    known = {adapter.confidence.__module__.rpartition(".")[2] for adapter in adapters()}
    assert len(files) > 10
    assert {*files} <= known
