"""How a Diagnosis prints itself; what it holds is tested with the Monitor and the rules."""

import pytest

from processes import run_script
from rldk.health import Diagnosis, Finding, NotChecked
from rldk.testing import diagnosis, line


def finding(rule, severity="warning", **changes):
    given = {
        "code": "OPT001",
        "confidence": 0.9,
        "onset_step": 1_200,
        "first_step": 1_205,
        "last_step": 1_300,
        "message": "the loss rose from 1 to 7",
        "evidence": {},
        "caused_by": None,
        "causes": [],
        "remedies": [],
        "last_good_step": None,
        "last_good_checkpoint": None,
        "samples": [],
    }
    return Finding(rule=rule, severity=severity, **(given | changes))


LACKING = NotChecked(rule="kl-blowup", code="POL001", needs=["kl_mean"], how="log kl_mean")
ILL = Diagnosis(
    status="critical",
    findings=[
        finding("divergence", summary="The loss runs away.", remedies=["lower `learning_rate`", "wait"]),
        finding("reward-collapse", "critical", caused_by="divergence", remedies=["start again"]),
        finding(
            "idle-gpu", "info", caused_by="no-such-finding", message="a GPU idles", remedies=["batch more"]
        ),
    ],
    not_checked=[LACKING],
)


def test_it_prints_the_verdict_the_stories_and_one_remedy_of_each():
    assert str(ILL).splitlines() == [
        "CRITICAL: The loss runs away.",
        "warning divergence (OPT001) since step 1,200: The loss rose from 1 to 7.",
        "  Try: Lower `learning_rate`.",
        "  explains critical reward-collapse (OPT001) since step 1,200: The loss rose from 1 to 7.",
        "info idle-gpu (OPT001) since step 1,200: A GPU idles.",
        "  Try: Batch more.",
        "1 rule not checked.",
    ]


def test_its_repr_is_one_line():
    found = "warning divergence, critical reward-collapse, info idle-gpu"
    assert repr(ILL) == f"<Diagnosis critical: {found}; 1 rule not checked>"


def test_markdown_is_a_list_with_what_a_finding_explains_below_it():
    assert ILL._repr_markdown_().split("\n") == [
        "**CRITICAL**: The loss runs away.",
        "",
        "- **warning** `divergence` (OPT001) since step 1,200: The loss rose from 1 to 7.",
        "  - Try: Lower `learning_rate`.",
        "  - explains **critical** `reward-collapse` (OPT001) since step 1,200: The loss rose from 1 to 7.",
        "- **info** `idle-gpu` (OPT001) since step 1,200: A GPU idles.",
        "  - Try: Batch more.",
        "",
        "1 rule not checked.",
    ]


@pytest.mark.parametrize(
    ("records", "status", "text"),
    [
        (120, "healthy", "HEALTHY: These metrics show no problem."),
        (
            3,
            "insufficient-data",
            "INSUFFICIENT-DATA: 3 train records are too few to judge: most rules need 20.",
        ),
    ],
)
def test_a_run_without_findings_is_said_to_be_healthy_or_too_short(records, status, text):
    found = diagnosis({"reward_mean": line(0.2, 0.8, records)}, rules=[])
    assert found.findings == []
    assert str(found).splitlines()[0] == text
    assert repr(found).startswith(f"<Diagnosis {status}: no findings; ")
    assert found._repr_markdown_().startswith(f"**{status.upper()}**: ")


def test_what_a_log_says_moves_no_cursor_and_opens_no_html():
    hostile = "\x1b[2J <b>@all</b>\n# title"
    found = Diagnosis(
        status="warning",
        findings=[finding("divergence", message=hostile, remedies=[hostile])],
        not_checked=[],
    )
    for text in (str(found), repr(found), found._repr_markdown_()):
        assert all(part.isprintable() for part in text.split("\n"))
        assert not any(part.startswith("#") for part in text.split("\n"))
    assert "<b>" not in found._repr_markdown_().replace("\\<", "")
    assert "@" not in found._repr_markdown_()


def test_printing_needs_neither_numpy_nor_rich():
    done = run_script(
        "import sys, rldk; d = rldk.Diagnosis(status='healthy', findings=[], not_checked=[]);"
        "print(d, repr(d), d._repr_markdown_()); print({'numpy', 'rich'} & {*sys.modules})"
    )
    assert done.stdout.endswith("set()\n"), done.stderr
