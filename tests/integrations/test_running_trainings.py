"""A trainer is recorded by one callback, however many it was given."""

import copy

import pytest
from transformers.integrations import integration_utils

from integrations import trainings
from integrations.trainings import After
from rldk.integrations.trl import RLDKCallback
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]


def both(folder):
    return [RLDKCallback(folder / "logs", name) for name in ("a", "b")]


def runs(folder):
    """The recorded train steps and evaluations, by run."""
    names = [path.name.removesuffix("_run.json") for path in sorted((folder / "logs").glob("*_run.json"))]
    found = {name: RecordedRun(RunFiles(folder / "logs", name)) for name in names}
    return {name: [event.step for event in run if event.phase != "summary"] for name, run in found.items()}


def reports(caplog):
    return [one.getMessage() for one in caplog.records if "has an RLDKCallback already" in one.getMessage()]


def test_the_second_callback_of_a_trainer_says_so_once_and_records_nothing(tmp_path, caplog):
    first, second = both(tmp_path)
    trainer = trainings.line(tmp_path, [first, second])
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    trainer.train()
    assert runs(tmp_path) == {"a": [0, 1, 2, 3, 4, 4], "a-2": [1, 2, 3, 4]}
    assert second.files is None
    assert reports(caplog) == [
        "rldk: this trainer has an RLDKCallback already; the second one records nothing"
    ]


def test_a_callback_beside_the_one_of_report_to_is_the_second(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "rldk", RLDKCallback)
    monkeypatch.chdir(tmp_path)
    second = RLDKCallback(tmp_path / "logs", "b")
    trainings.line(tmp_path, [second], report_to=["rldk"]).train()
    assert runs(tmp_path) == {}
    assert len(list((tmp_path / "rldk_logs").glob("*_run.json"))) == 1
    assert len(reports(caplog)) == 1


def test_an_evaluation_alone_is_recorded_once(tmp_path, caplog):
    trainings.line(tmp_path, both(tmp_path)).evaluate()
    assert runs(tmp_path) == {"a": [0]}
    assert len(reports(caplog)) == 1


def test_two_trainers_are_recorded_each_by_its_own(tmp_path, caplog):
    first, second = both(tmp_path)
    inner = trainings.line(tmp_path / "inner", [second])
    trainings.line(tmp_path, [first, After(2, inner.train)]).train()
    inner.evaluate()
    assert runs(tmp_path) == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4, 4]}
    assert reports(caplog) == []


def test_a_callback_that_took_the_place_of_another_records(tmp_path, caplog):
    first, second = both(tmp_path)
    trainer = trainings.line(tmp_path, [first])
    trainer.evaluate()
    trainer.remove_callback(first)
    trainer.add_callback(second)
    trainer.evaluate()
    trainer.train()
    assert runs(tmp_path) == {"a": [0], "b": [0, 1, 2, 3, 4]}
    assert reports(caplog) == []


def test_a_callback_that_took_the_place_of_one_whose_training_failed_records(tmp_path, caplog):
    first, second = both(tmp_path)
    trainer = trainings.line(tmp_path, [first, failure := After(2, lambda: 1 / 0)])
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    for callback in (first, failure):
        trainer.remove_callback(callback)
    trainer.add_callback(second)
    trainer.train()
    assert runs(tmp_path) == {"a": [1, 2], "b": [1, 2, 3, 4]}
    assert reports(caplog) == []


def test_the_second_callback_records_where_it_is_the_only_one(tmp_path, caplog):
    first, second = both(tmp_path)
    trainings.line(tmp_path, [first, second]).train()
    trainings.line(tmp_path, [second]).train()
    assert runs(tmp_path) == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}
    assert len(reports(caplog)) == 1


def test_a_copy_beside_its_original_is_the_second(tmp_path, caplog):
    first, _ = both(tmp_path)
    trainings.line(tmp_path, [first, copy.deepcopy(first)]).train()
    assert runs(tmp_path) == {"a": [1, 2, 3, 4]}
    assert len(reports(caplog)) == 1


def steps_of(callback):
    """Step and phase of each record."""
    return [(event.step, event.phase) for event in RecordedRun(callback.files)]


TRAINING = [*((step, "train") for step in (1, 2, 3, 4)), (4, "summary")]
ONCE = "rldk: this trainer has the same RLDKCallback twice; rldk records it once"


@pytest.mark.parametrize("copies", [2, 3])
def test_a_callback_that_is_given_several_times_records_once_and_says_so_once(copies, tmp_path, caplog):
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainer = trainings.line(tmp_path, [callback] * copies, gradient_accumulation_steps=2)
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    assert steps_of(callback) == [(0, "eval"), *TRAINING, (4, "eval")]
    assert callback._recording.events.micro_batches == 8
    assert sorted(runs(tmp_path)) == ["r"]
    assert [one.getMessage() for one in caplog.records if one.name == "rldk"] == [ONCE]


def test_a_callback_that_was_given_twice_records_another_trainer_as_ever(tmp_path, caplog):
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainings.line(tmp_path, [callback, callback]).train()
    trainings.line(tmp_path, [callback]).train()
    assert steps_of(callback) == TRAINING
    assert callback._recording.events.micro_batches == 4


def test_an_evaluation_of_another_trainer_goes_into_no_run_of_the_first(tmp_path, caplog):
    callback = RLDKCallback(tmp_path / "logs", "r")
    first, second = (trainings.line(tmp_path / name, [callback]) for name in ("first", "second"))
    first.train()
    second.evaluate()
    second.train()
    assert runs(tmp_path) == {"r": [1, 2, 3, 4], "r-2": [0, 1, 2, 3, 4]}


def test_a_training_goes_into_no_run_of_evaluations_of_another_trainer(tmp_path):
    callback = RLDKCallback(tmp_path / "logs", "r")
    first, second = (trainings.line(tmp_path / name, [callback]) for name in ("first", "second"))
    first.evaluate()
    second.evaluate()
    first.train()
    assert runs(tmp_path) == {"r": [0], "r-2": [0], "r-3": [1, 2, 3, 4]}


def test_an_evaluation_of_another_trainer_within_a_training_is_not_recorded_and_says_so(tmp_path, caplog):
    callback = RLDKCallback(tmp_path / "logs", "r")
    other = trainings.line(tmp_path / "other", [callback])
    trainings.line(tmp_path, [callback, After(2, other.evaluate), After(3, other.evaluate)]).train()
    assert steps_of(callback) == TRAINING
    lines = [one.getMessage() for one in caplog.records if one.name == "rldk"]
    assert lines == ["rldk: this RLDKCallback records another trainer; give each trainer its own"]


def test_an_evaluation_after_a_training_of_another_trainer_that_failed_is_a_run_of_its_own(tmp_path):
    callback = RLDKCallback(tmp_path / "logs", "r")
    with pytest.raises(ZeroDivisionError):
        trainings.line(tmp_path / "first", [callback, After(2, lambda: 1 / 0)]).train()
    trainings.line(tmp_path / "second", [callback]).evaluate()
    assert runs(tmp_path) == {"r": [1, 2], "r-2": [0]}
