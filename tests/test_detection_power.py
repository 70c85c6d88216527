"""The power benchmark: what it puts in, how it counts, and how near healthy runs come to an alarm."""

import json
import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rldk.health import RULES

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "detection"))
import power
from injection import FAMILIES, PATTERNS, inject, offline, online, vary
from injection.base import generated, labelled
from injection.edit import Edit
from power_tables import Outcome, summarize, tables

GENERATED = [base for base in generated(15, seed=0) if base.is_long]
MADE_ANEW = {
    *("component-stuck", "component-falling", "eval-reward-falling", "dpo-eval-falling", "sft-eval-rising"),
    *("sampling-mismatch-paid", "sampling-mismatch-flat", "slow-steps"),
}
"""Families that change more than the log from the onset on."""


def base_for(name):
    return next(base for base in GENERATED if FAMILIES[name].fits(base))


def train(records):
    return [record for record in records if record.phase == "train"]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_injected_log_is_the_base_before_the_onset_and_differs_after_it(name):
    base, family = base_for(name), FAMILIES[name]
    before = msgspec.json.encode(base.records)
    injected = inject(base, name, family.magnitudes[-1], 0.3)
    assert msgspec.json.encode(base.records) == before
    records = train(injected.records)
    assert [record.step for record in records] == [record.step for record in base.train]
    assert injected.onset == (int(0.3 * len(base.train)) if family.has_onset else 0)
    if name not in MADE_ANEW:
        assert [record.values.keys() for record in records] == [record.values.keys() for record in base.train]
        assert records[: injected.onset] == list(base.train[: injected.onset])
    assert records[-1].values != base.train[-1].values or len(injected.records) > len(base.records)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_log(name):
    base, magnitude = base_for(name), FAMILIES[name].magnitudes[0]
    logs = [msgspec.json.encode(inject(base, name, magnitude, 0.6, seed).records) for seed in (1, 1)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("fault", "kind", "nothing"),
    [
        (online.kl("kept"), "grpo", 0.0),
        (online.entropy_decay("kept"), "grpo", 1.0),
        (online.entropy_explosion("kept"), "grpo", 1.0),
        (online.length("kept"), "grpo", 1.0),
        (online.truncation("kept"), "grpo", 0.0),
        (online.gradient_creep("kept"), "grpo", 1.0),
        (online.gradient_spikes("kept"), "grpo", 1.0),
        (online.no_learning, "grpo", 1.0),
        (online.zero_advantage("unsolvable"), "grpo", 0.0),
        (online.off_policy("kept"), "grpo", 0.0),
        (online.slow_steps, "grpo", 1.0),
        (offline.margin_collapse, "dpo", 0.0),
        (offline.divergence, "sft", 1.0),
    ],
)
def test_a_fault_of_no_magnitude_changes_nothing(fault, kind, nothing):
    base = next(base for base in GENERATED if base.kind == kind)
    edit = Edit(base, 0.3, 0)
    fault(edit, nothing)
    for record, before in zip(edit.records(), base.records, strict=True):
        assert record.values == pytest.approx(before.values)


def test_the_reward_keeps_its_noise_and_its_components_share_the_change():
    base = next(base for base in labelled() if base.name == "grpo-clean-s1")
    edit = Edit(base, 0.3, 0)
    parts = edit.components()
    assert parts
    gap = edit.need("reward_mean") - sum(edit.need(part) for part in parts)
    edit.move_reward("falling")
    assert edit.need("reward_mean")[-5:].mean() < base.series("reward_mean")[-5:].mean()
    assert edit.need("reward_mean") - sum(edit.need(part) for part in parts) == pytest.approx(gap)


def test_a_mode_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="use paid, flat, falling or kept"):
        Edit(GENERATED[0], 0.3, 0).move_reward("rising")


def test_every_family_is_quiet_before_it_is_due_and_expects_a_rule():
    names = {rule.name for rule in RULES}
    for name, family in FAMILIES.items():
        order = [("quiet", "between", "due").index(family.verdict(one)) for one in family.magnitudes]
        assert order == sorted(order), name
        assert family.expected & names, name
        assert not family.expected & family.also, name


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_leaves_the_base_alone_and_the_steps_in_place(name):
    base = next(base for base in labelled() if base.name == "grpo-clean-long-s1")
    before = msgspec.json.encode(base.records)
    assert PATTERNS[name].fits(base)
    records = vary(base, name).records
    assert msgspec.json.encode(base.records) == before
    assert {record.step for record in records} <= {record.step for record in base.records}
    if name not in ("as-it-is", "any-order"):
        assert records != list(base.records)


def test_other_units_are_those_of_the_reward_alone():
    base = GENERATED[0]
    varied = vary(base, "reward-x10-plus-5").records
    for record, before in zip(varied, base.records, strict=True):
        assert record.values["reward_mean"] == pytest.approx(10 * before.values["reward_mean"] + 5)
        assert record.values["reward_std"] == pytest.approx(10 * before.values["reward_std"])
        assert record.values["kl_mean"] == before.values["kl_mean"]


def test_a_mean_of_ten_records_keeps_the_last_rate():
    base = next(base for base in GENERATED if PATTERNS["means-of-ten"].fits(base) and base.kind == "grpo")
    first = vary(base, "means-of-ten").records[0]
    rewards = [record.values["reward_mean"] for record in base.train[:10]]
    assert first.values["reward_mean"] == pytest.approx(np.mean(rewards))
    assert first.values["lr"] == base.train[9].values["lr"]
    assert first.step == base.train[9].step


def outcome(magnitude, right, **changes):
    one = Outcome("fault", "kl-flat", magnitude, GENERATED[0], right, False, False, None, (), {})
    return one._replace(**changes)


def test_the_numbers_count_what_is_due_what_is_quiet_and_the_delay():
    quiet = [outcome(0.1, "quiet"), outcome(0.1, "quiet", alarms=("kl-blowup",))]
    due = [
        outcome(1, "due"),
        outcome(1, "due", is_named=True, is_mentioned=True, delay=4),
        outcome(1, "due", is_mentioned=True, delay=20),
    ]
    results = summarize([*quiet, outcome(0.3, "between", is_named=True), *due])
    found = results["faults"]["kl-flat"]["long"]
    assert (found["named"], found["due"], found["false"], found["quiet"]) == (1, 3, 1, 2)
    assert found["delay"] == [12, 20]
    assert found["magnitudes"]["1"] == [1, 2, 3]
    page = tables(results | {"date": "2026-12-01", "seed": 0})
    assert (
        "| kl-flat | 1 nats a token added | 1 of 3 (33%) | 12 (p90 20) |  |  | 1 of 2 | kl-blowup 1 |" in page
    )
    assert tables(json.loads(json.dumps(results | {"date": "2026-12-01", "seed": 0}))) == page


def test_the_largest_score_of_a_rule_names_its_run():
    healthy = outcome(0, "quiet", kind="healthy", name="")
    runs = [healthy._replace(scores={"a": 0.5, "b": 0.2}), healthy._replace(scores={"a": 0.96})]
    results = summarize(runs)
    assert results["scores"] == {"a": (0.96, GENERATED[0].name), "b": (0.2, GENERATED[0].name)}
    assert power.nearer_than_margin(results) == [f"a: 0.960 on {GENERATED[0].name}"]


def test_a_false_alarm_on_a_healthy_run_is_nearer_than_the_margin():
    alarm = outcome(0, "quiet", kind="healthy", name="", alarms=("kl-blowup",))
    assert power.nearer_than_margin(summarize([alarm])) == [f"kl-blowup on {GENERATED[0].name}"]


KNOWN = {"proxy-divergence on sim-grpo-clean-iterations-s2 other-prompts"}
"""Other prompts that lower one reward function after the total had gained: no number of the log tells them
from a policy that trades the one for the others."""


def test_no_healthy_run_comes_nearer_to_an_alarm_than_the_margin():
    bases = [*labelled(), *generated(power.GENERATED // 5, seed=0)]
    results = summarize(power.measure(bases, families=[], limit=0, seed=0))
    assert results["healthy"].keys() == {"trained", "simulated", "generated"}
    nearer = {re.sub(r": [0-9.]+ ", " ", one) for one in power.nearer_than_margin(results)}
    assert nearer == KNOWN


def test_the_page_is_that_of_the_kept_numbers():
    assert not power.is_stale()
