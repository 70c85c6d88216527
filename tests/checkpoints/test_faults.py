"""Real checkpoints: every seeded fault is found under its rule, and the healthy ones are let be."""

from pathlib import Path

import pytest

from checkpoints.judging import judged
from checkpoints.seeded import FAULTS
from checkpoints.trained import HEALTHY

DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"
pytestmark = pytest.mark.training


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_seeded_fault_is_found_under_its_rule_and_under_no_other(fault, trained, tmp_path):
    save = trained.copy(trained[fault.source[0]][fault.source[1]], tmp_path)
    fault.spoil(save)
    found = judged(save)
    assert found[fault.rule].severity == fault.severity
    loud = {rule for rule, one in found.items() if one.severity != "info"}
    assert loud <= {fault.rule}


@pytest.mark.parametrize("known", [True, False], ids=["in-its-run", "as-a-folder"])
@pytest.mark.parametrize(("run", "step"), HEALTHY)
def test_a_healthy_checkpoint_is_let_be(run, step, known, trained):
    found = judged(trained[run][step], known=known)
    assert [(one.rule, one.message) for one in found.values() if one.severity != "info"] == []


def test_the_docs_name_every_fault():
    page = DOCS.read_text()
    assert len(FAULTS) >= 20
    for fault in FAULTS:
        assert f"| {fault.name} | {fault.rule} | {fault.severity} |" in page
