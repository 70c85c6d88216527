"""The pictures of the rule pages: drawn to be read, from the runs that the labels name, and fresh."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from rldk.health import RULES, find_rule

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import rule_pictures
from run_chart import Panel, Row, draw, scale_of

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "images" / "rules"
RUNS = ROOT / "benchmarks" / "detection" / "runs"


def points(*values):
    return list(enumerate(values, 1))


@pytest.mark.skipif(not RUNS.exists(), reason="an sdist holds no labelled runs")
def test_the_pictures_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "rule_pictures.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_page_shows_two_runs_or_says_that_none_is_labelled(rule):
    page = (ROOT / "docs" / "rules" / f"{rule.name}.md").read_text()
    picture = PICTURES / f"{rule.name}.svg"
    shown = page.partition("## On labelled runs\n")[2].partition("\n## ")[0]
    assert ("No labelled run shows it." in shown) != ("healthy" in shown)
    assert (f"../images/rules/{picture.name}" in shown) == picture.exists()
    if picture.exists():
        assert ET.fromstring(picture.read_text()).tag == "{http://www.w3.org/2000/svg}svg"
        assert picture.stat().st_size < 25_000


def test_most_rules_that_judge_logs_have_a_picture():
    logs = [rule for rule in RULES if rule.kinds == ("log",) and rule.needs]
    assert sum((PICTURES / f"{rule.name}.svg").exists() for rule in logs) > 0.8 * len(logs)


def test_both_panels_of_a_row_have_one_scale():
    scale = scale_of(Row("m", points(0.0, 1.0), points(4.0, 5.0)))
    assert scale.share(0.0) == pytest.approx(0.037, abs=0.001)
    assert scale.share(5.0) == pytest.approx(0.963, abs=0.001)


def test_a_scale_is_logarithmic_where_a_few_values_dwarf_the_others():
    row = Row("m", points(*[0.5] * 50, 140.0), points(*[0.6] * 50))
    assert scale_of(row).is_log
    assert scale_of(row).share(0.5) > 0.02


def test_the_scale_of_a_share_is_linear():
    assert not scale_of(Row("m", points(*[0.01] * 50, 1.0), points(0.01), is_share=True)).is_log


def test_a_spike_does_not_flatten_a_series_that_goes_below_zero():
    scale = scale_of(Row("m", points(*[-1.0, 1.0] * 50, -900.0), points(0.0)))
    assert scale.share(1.0) - scale.share(-1.0) > 0.3


def test_a_series_that_is_always_zero_has_a_scale():
    assert scale_of(Row("m", points(0.0, 0.0), points(0.0))).ticks()[0] == 0


def test_a_value_that_is_not_finite_leaves_a_gap_and_a_mark():
    whole = draw("t", (Panel("a"), Panel("b")), [Row("m", points(1.0, 2.0, 3.0), points(1.0))])
    torn = draw("t", (Panel("a"), Panel("b")), [Row("m", points(1.0, None, 3.0), points(1.0))])
    assert torn.count("l6 6m0-6l-6 6") == 1 + whole.count("l6 6m0-6l-6 6")


def test_a_long_series_keeps_its_extremes_and_stays_small():
    values = [float(number % 7) for number in range(5_000)]
    values[2_345] = 30.0
    text = draw("t", (Panel("a"), Panel("b")), [Row("m", points(*values), points(1.0, 2.0))])
    assert len(text) < 10_000
    highest = scale_of(Row("m", points(*values), points(1.0, 2.0))).share(30.0)
    assert f" {36 + 116 * (1 - highest):.1f}" in text


def test_what_a_title_holds_is_escaped():
    text = draw("a < b", (Panel("x & y"), Panel("b")), [Row("m", points(1.0), points(1.0))])
    assert ET.fromstring(text)[0].text == "a < b"


def labelled(name, values, *, trainer="grpo", is_healthy=True, findings=(), not_checked=()):
    return SimpleNamespace(
        name=name,
        trainer=trainer,
        is_trained=True,
        is_healthy=is_healthy,
        findings=dict.fromkeys(findings),
        not_checked=set(not_checked),
        holds=lambda metric: True,
        series=lambda metric: points(*values),
    )


def test_the_look_alike_is_the_nearest_healthy_run_of_the_trainer_on_which_the_rule_is_silent():
    rule = find_rule("reward-collapse")
    ill = labelled("ill", [0.9, 0.5, 0.1], is_healthy=False)
    near = labelled("near", [0.9, 0.6, 0.4])
    others = [
        labelled("far", [0.1, 0.1, 9.0]),
        labelled("other trainer", [0.9, 0.5, 0.1], trainer="rloo"),
        labelled("reported", [0.9, 0.5, 0.1], findings=["reward-collapse"]),
        labelled("not checked", [0.9, 0.5, 0.1], not_checked=["reward-collapse"]),
    ]
    assert rule_pictures.look_alike(rule, ill, ["reward_mean"], [ill, *others, near]) is near
