"""The remedies benchmark: its definitions, how a sentence is applied, and that the page shows the results."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "detection"))
from cures.outcome import outcome
from cures.table import PAGE, RESULTS, Results, Treated, into_page, load, missed


@pytest.mark.parametrize(
    ("treated", "gone", "expected"),
    [
        (0.50, True, "cured"),
        (0.60, True, "cured"),
        (0.50, False, "mostly"),
        (0.35, True, "mostly"),
        (0.25, True, "partly"),
        (0.12, True, "no"),
        (0.06, True, "no"),
        (0.04, True, "worse"),
    ],
)
def test_outcome(treated, gone, expected):
    assert outcome(0.1, treated, 0.5, gone=gone) == expected


def run(**changes):
    known = {"trainer": "grpo", "set": "wide", "kind": "rate too high", "fault": "a fault"}
    return Treated(**known, ill=[0.5, 0.1, 0.1], healthy=[0.5, 0.6, 0.6], **changes)


def test_a_finding_that_another_alarm_replaces_is_not_gone():
    found = {"rule": "kl-blowup", "severity": "critical", "treated": [0.5, 0.6, 0.6]}
    assert run(**found).outcome == "cured"
    assert run(**found, after={"kl-blowup": "info"}).outcome == "cured"
    assert run(**found, after={"kl-blowup": "critical"}).outcome == "mostly"
    assert run(**found, after={"truncation": "critical"}).outcome == "mostly"


def test_a_run_without_a_gap_or_a_training_has_no_outcome():
    assert run().outcome is None
    near = run(treated=[0.5, 0.6, 0.6])
    near.healthy = [0.5, 0.14, 0.14]
    assert near.outcome is None


def test_too_few_runs_and_a_run_that_is_worse_miss_the_aims():
    worse = run(treated=[0.5, 0.0, 0.0], rule="kl-blowup", severity="critical")
    told = " ".join(missed(Results(runs={"a": worse})))
    assert "1 runs tried" in told
    assert "1 runs are worse" in told


def test_the_aims_are_met():
    assert missed(load()) == []


def test_the_page_is_that_of_the_results():
    assert RESULTS.exists()
    assert PAGE.read_text() == into_page(PAGE.read_text(), load())


def test_the_doctor_still_gives_the_remedies_of_the_page():
    pytest.importorskip("trl")
    from cures.patient import patients
    from cures.trial import diagnosis_of

    tried = {name: row for name, row in load().runs.items() if row.outcome}
    told = {
        one.name: next((found.remedies[0] for found in diagnosis_of(one.run).findings if found.remedies), "")
        for one in patients()
        if one.name in tried
    }
    stale = [name for name, row in tried.items() if told[name] != row.remedy]
    assert len(stale) <= len(tried) / 10, stale


class TestPrescription:
    @pytest.fixture(scope="class")
    def patient(self):
        pytest.importorskip("trl")
        from cures.patient import patients

        return {one.name: one for one in patients()}

    @pytest.fixture(scope="class")
    def applied(self):
        from cures.prescription import applied

        return applied

    @pytest.mark.parametrize(
        ("remedy", "option", "value"),
        [
            ("lower `learning_rate` (now 0.003, try 0.0002)", "learning_rate", 0.0002),
            ("raise `max_completion_length` (now 5, try 10)", "max_completion_length", 10),
            ("set `beta` to 0.04 (now 20)", "beta", 0.04),
            ("set `loss_type='dr_grpo'`", "loss_type", "dr_grpo"),
        ],
    )
    def test_an_option_is_set_to_the_value_of_the_sentence(self, patient, applied, remedy, option, value):
        assert applied(patient["grpo-tags-rate-x10"], remedy).config[option] == value

    def test_a_reward_function_is_replaced_where_it_does_not_tell_gold_from_garbage(self, patient, applied):
        remedy = "run the reward function on gold answers, on garbage and on three completions"
        assert applied(patient["grpo-tags-constant"], remedy).rewards == ("exact",)
        sound = patient["grpo-tags-rate-x10"]
        assert applied(sound, remedy) == sound.recipe

    def test_a_reward_function_that_changed_is_as_it_was(self, patient, applied):
        remedy = "compare prompts and reward function before and after the onset"
        assert applied(patient["grpo-letters-dies"], remedy).rewards == ("exact",)
        sound = patient["grpo-tags-rate-x10"]
        assert applied(sound, remedy) == sound.recipe

    def test_a_look_at_the_wrong_place_changes_nothing(self, patient, applied):
        ill = patient["dpo-tags-swapped"]
        assert applied(ill, "print the trainable parameters") == ill.recipe
        mended = applied(ill, "print one pair of each set and swap the columns of the wrong one")
        assert mended == replace(ill.recipe, data={})

    def test_a_sentence_that_no_machine_understands(self, patient, applied):
        assert applied(patient["dpo-tags-swapped"], "choose prompts by pass rate") is None
