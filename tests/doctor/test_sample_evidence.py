"""Which samples show a finding."""

import sys
from typing import get_args

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rldk import open_run
from rldk.doctor.judge import judge
from rldk.doctor.sample_evidence import EXCERPT, evidence, with_samples
from rldk.doctor.sample_kinds import MOST, SAMPLE_KINDS
from rldk.errors import MissingDependencyError
from rldk.health import RULES, Diagnosis, Finding, Rule, Severity, find_rule
from rldk.health.rule import SampleKind
from rldk.runs import RecordedRun
from rldk.runs.sample_tables import Table, tables_of
from rldk.runs.samples import Samples
from sample_lines import line, recorded, run_with, write_samples
from stories import collapsing, learning, write


def found(rule, onset=100, message="", evidence=()):
    kind = find_rule(rule)
    return Finding(
        rule=rule,
        code=kind.code,
        severity="warning",
        confidence=0.9,
        onset_step=onset,
        first_step=onset + 5,
        last_step=200,
        message=message,
        evidence=dict.fromkeys(evidence, 1.0),
        caused_by=None,
        causes=[],
        remedies=[],
        last_good_step=onset - 1,
        last_good_checkpoint=None,
        samples=[],
    )


def diagnosis(*findings):
    return Diagnosis(status="warning", findings=list(findings), not_checked=[])


def shown(folder, finding, *samples):
    """The samples of a finding as a diagnosis has them."""
    run = RecordedRun(run_with(folder, *samples))
    (told,) = with_samples(diagnosis(finding), run.samples).findings
    return told.samples


def test_there_is_a_selector_for_each_kind_that_a_rule_may_name_and_each_is_named():
    assert set(SAMPLE_KINDS) == set(get_args(SampleKind))
    assert set(SAMPLE_KINDS) == {kind for rule in RULES for kind in rule.shown_by}


def test_truncation_shows_the_ends_of_what_was_cut_at_its_begin_and_at_last(tmp_path):
    cut = [
        recorded(step, f"begin {step} {'word ' * 200}and so on {step}", length=512, end="cut")
        for step in range(90, 201, 10)
    ]
    ended = [recorded(step, "fine") for step in range(90, 201, 10)]
    told = shown(tmp_path, found("truncation"), *cut, *ended)
    assert [one["step"] for one in told] == [100, 110, 190, 200]
    for one in told:
        assert one["why"] == "cut at 512 tokens"
        assert one["text"].endswith(f"and so on {one['step']}")
        assert "begin" not in one["text"]
        assert len(one["text"]) <= EXCERPT
    assert set(told[0]) == {"step", "index", "reward", "why", "text"}


def test_eos_mismatch_shows_what_ended_without_the_trainer_seeing_it(tmp_path):
    told = shown(
        tmp_path,
        found("eos-mismatch", onset=1),
        recorded(1, "so it is 7.<|im_end|>", why=("ended-unseen",), length=57),
        recorded(2, "seen"),
    )
    assert [one["text"] for one in told] == ["so it is 7.<|im_end|>"]
    assert told[0]["why"] == "ended after 57 tokens on a token that the trainer does not count as an end"


@pytest.mark.parametrize("rule", ["proxy-divergence", "reward-length-correlation"])
def test_hacking_shows_the_highest_rewarded_on_both_sides(tmp_path, rule):
    samples = [
        recorded(step, f"{step}", reward=reward)
        for step, reward in [(10, 0.3), (20, 0.9), (30, 0.8), (99, 0.1), (100, 1.5), (150, 2.0), (199, 1.0)]
    ]
    told = shown(tmp_path, found(rule), *samples, recorded(160, "unscored", reward=None, rewards={"f": None}))
    assert [(one["step"], one["reward"]) for one in told] == [(20, 0.9), (30, 0.8), (100, 1.5), (150, 2.0)]
    assert told[0]["why"] == "the highest reward before it began, scored 0.9, 7 tokens"
    assert told[-1]["why"] == "the highest reward since it began, scored 2, 7 tokens"


def test_of_equal_rewards_the_farthest_from_the_onset_are_shown_and_no_text_twice(tmp_path):
    samples = [recorded(step, f"text {step // 20}", reward=1.0) for step in range(1, 200)]
    told = shown(tmp_path, found("proxy-divergence"), *samples)
    assert [one["text"] for one in told] == ["text 0", "text 1", "text 8", "text 9"]
    assert (told[0]["step"], told[-1]["step"]) == (1, 199)


@pytest.mark.parametrize("rule", ["missing-rewards", "reward-function-errors"])
def test_missing_rewards_show_the_rows_without_one_and_whose_it_is(tmp_path, rule):
    finding = found(rule, onset=5, evidence=["rewards/accuracy/mean"])
    told = shown(
        tmp_path,
        finding,
        recorded(1, "whole", rewards={"accuracy": 1.0, "other_task": None}),
        recorded(6, "broken", rewards={"accuracy": None, "other_task": None}, reward=None),
    )
    assert [(one["text"], one["why"], one["reward"]) for one in told] == [
        ("broken", "no value from accuracy", None)
    ]
    # Of two functions of one name the right one is told.
    finding = found(rule, evidence=["reward_functions/accuracy#2/missing_frac"])
    told = shown(
        tmp_path, finding, recorded(1, "x", rewards={"accuracy": None, "accuracy#2": None, "acc": None})
    )
    assert told[0]["why"] == "no value from accuracy#2"
    # Named by nobody, all of them count.
    told = shown(tmp_path, found(rule), recorded(1, "x", rewards={"a": None, "b": None, "c": 1.0}))
    assert told[0]["why"] == "no value from a, b"


def test_a_dead_reward_shows_what_it_was_given_for(tmp_path):
    samples = [
        recorded(step, f"answer {step}", rewards={"accuracy": 0.0, "format": None}, reward=0.0)
        for step in range(1, 30)
    ]
    told = shown(tmp_path, found("dead-reward", onset=1), *samples)
    assert [one["text"] for one in told] == ["answer 26", "answer 27", "answer 28", "answer 29"]
    assert told[0]["why"] == "accuracy gave 0, format gave nothing"


@pytest.mark.parametrize(
    "rule",
    [
        "reward-collapse",
        "repetition",
        "duplicate-completions",
        "entropy-collapse",
        "entropy-explosion",
        "kl-blowup",
    ],
)
def test_a_change_shows_typical_samples_of_both_sides(tmp_path, rule):
    samples = [
        recorded(step, f"{why} {step}", why=(why,), reward=float(step >= 100))
        for step in range(80, 120, 2)
        for why in ("best", "random", "worst")
    ]
    told = shown(tmp_path, found(rule), *samples)
    assert [one["text"] for one in told] == ["random 96", "random 98", "random 116", "random 118"]
    assert told[0]["why"] == "before it began, scored 0, 7 tokens"
    assert told[-1]["why"] == "since it began, scored 1, 7 tokens"


@pytest.mark.parametrize(("rule", "length"), [("length-runaway", 900), ("length-collapse", 2)])
def test_a_change_of_length_shows_the_longest_or_the_shortest(tmp_path, rule, length):
    odd = recorded(150, "odd", length=length)
    told = shown(
        tmp_path, found(rule), recorded(10, "base"), *(recorded(s, f"{s}") for s in range(100, 200)), odd
    )
    assert [one["text"] for one in told][:2] == ["base", "odd"]
    assert f"{length} tokens" in told[1]["why"]


def test_samples_of_evaluations_and_rules_without_samples_show_nothing(tmp_path):
    cut = recorded(150, "cut", end="cut", phase="eval")
    assert shown(tmp_path, found("truncation"), cut) == []
    assert shown(tmp_path, found("stall"), recorded(150, "cut", end="cut")) == []
    assert shown(tmp_path, found("truncation", onset=180), recorded(150, "cut", end="cut")) == []


def test_a_finding_has_at_most_four_however_many_samples_there_are(tmp_path):
    samples = [recorded(step, f"{step}", end="cut") for step in range(1, 3_000)]
    finding = found("truncation")
    run = RecordedRun(run_with(tmp_path, *samples))
    whole = evidence(diagnosis(finding), run.samples())
    assert list(whole) == ["truncation"]
    assert len(whole["truncation"]) == MOST


def test_the_length_of_a_text_is_told_only_where_it_was_counted(tmp_path):
    told = shown(tmp_path, found("truncation"), recorded(150, "x", end="cut", length=None))
    assert told[0]["why"] == "cut at the limit"
    told = shown(tmp_path, found("truncation"), recorded(150, "x", end="cut", length=1))
    assert told[0]["why"] == "cut at 1 token"


# TRL's tables, and runs without samples


def tables(folder, steps, **columns):
    folder.mkdir(parents=True)
    for step in steps:
        made = {
            "step": [step] * 2,
            "prompt": ["p"] * 2,
            "completion": [f"short {step}", f"long {'x' * step} {step}"],
            "accuracy": [0.0, 1.0],
            **columns,
        }
        pq.write_table(pa.table(made), folder / f"completions_{step:05}.parquet")


def test_tables_show_what_they_can_and_do_not_pretend_to_know_an_end(tmp_path):
    tables(tmp_path / "completions", [90, 100, 200])
    (told,) = with_samples(diagnosis(found("truncation")), open_run(tmp_path).samples).findings
    assert [one["step"] for one in told.samples] == [100, 200]
    assert {one["why"] for one in told.samples} == {"among the longest; its end is not known"}
    assert told.samples[0]["index"] is None


def test_an_own_rule_names_the_samples_that_show_its_findings(tmp_path):
    class Odd(Rule):
        """Something is odd."""

        code, name, severity = "MY001", "odd", Severity.WARNING
        shown_by = ("first-cut",)

    finding = msgspec.structs.replace(found("truncation"), rule="odd", code="MY001")
    run = RecordedRun(run_with(tmp_path, recorded(150, "so", length=9, end="cut"), recorded(160, "fine")))
    (shown,) = with_samples(diagnosis(finding), run.samples, [Odd]).findings
    assert [one["why"] for one in shown.samples] == ["cut at 9 tokens"]
    (alone,) = with_samples(diagnosis(finding), run.samples).findings
    assert alone.samples == []


def test_of_thousands_of_tables_some_are_read(tmp_path, monkeypatch):
    read = []

    class Counted:
        def __init__(self, number):
            self.path = tmp_path / str(number)
            self.number = number

        def read(self, on_bad):
            read.append(self.number)
            yield from ()

    samples = Samples([Counted(number) for number in range(5_000)], lambda: read.append)
    assert evidence(diagnosis(found("truncation")), samples) == {}
    assert read == list(range(0, 5_000, 25))


def test_nothing_is_read_where_nothing_could_be_shown_and_nothing_is_raised():
    def untouchable():
        raise AssertionError

    for told in (diagnosis(), diagnosis(found("stall")), diagnosis(found("truncation"))):
        assert with_samples(told, untouchable) is told
    assert evidence(diagnosis(), Samples([None], list)) == {}


def test_without_pyarrow_there_is_a_diagnosis_without_samples(tmp_path, monkeypatch):
    tables(tmp_path / "completions", [150])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    told = diagnosis(found("truncation"))
    run = open_run(tmp_path)
    assert with_samples(told, run.samples) is told
    with pytest.raises(MissingDependencyError):
        evidence(told, Samples([Table(path) for path in tables_of(tmp_path)], list))


# Whole runs


def test_the_diagnosis_of_a_run_has_its_samples_and_a_healthy_one_has_none(tmp_path):
    files = write(tmp_path / "ill", collapsing(), "ill")
    samples = [
        recorded(step, f"{step} {'and so on ' * 50}", end="cut" if step > 150 else "eos", length=250)
        for step in range(1, 301, 5)
    ]
    write_samples(files, *samples, b"garbage\n")
    run = RecordedRun(files)
    told = {finding.rule: finding for finding in judge(run).findings}
    assert [one["why"] for one in told["truncation"].samples] == ["cut at 250 tokens"] * 4
    assert all(one["step"] >= told["truncation"].onset_step for one in told["truncation"].samples)
    assert len(told["reward-collapse"].samples) == 4
    assert run.bad_lines[0].number == 61
    assert msgspec.json.encode(told["truncation"])

    files = write_samples(write(tmp_path / "well", learning(), "well"), *samples)
    assert all(finding.samples == [] for finding in judge(RecordedRun(files)).findings)


def test_tables_of_a_run_of_ours_are_its_own_only_where_it_logged_completions(tmp_path):
    tables(tmp_path / "out" / "completions", [150, 200])
    for logs, count in ((True, 4), (False, 0)):
        files = write(tmp_path / f"logs{count}", collapsing(), options={"log_completions": logs})
        info = msgspec.json.decode(files.run.read_bytes()) | {"trainer_dir": str(tmp_path / "out")}
        files.run.write_bytes(msgspec.json.encode(info))
        run = RecordedRun(files)
        assert len(run.samples()) == count
        assert bool(evidence(judge(run), run.samples())) is bool(count)
    # What the observer recorded says more, and wins.
    write_samples(files, line(recorded(1)))
    assert [sample.length for sample in RecordedRun(files).samples()] == [7]
    # A trainer's folder that is gone is no reason to look beside it.
    info["trainer_dir"] = str(tmp_path / "out" / "gone")
    info["attempts"][0]["args"]["log_completions"] = True
    files.samples.unlink()
    files.run.write_bytes(msgspec.json.encode(info))
    assert len(RecordedRun(files).samples()) == 0
