"""TRLAdapter: what TRL and rldk left of one real training, and no other tool's log."""

import pytest

import rldk
from events import logged, write_run
from integrations import trainings
from rldk.errors import RunNotFoundError, UnknownFormatError
from rldk.integrations.trl import RLDKCallback, TRLAdapter
from rldk.runs import RecordedRun

STATE = '{"global_step": 1, "log_history": [{"step": 1, "my_score": 0.5, "loss": 2.0}]}'


def test_it_is_exported_where_the_callback_is_and_from_the_package():
    assert rldk.TRLAdapter is rldk.runs.TRLAdapter is TRLAdapter


@pytest.mark.training
def test_the_events_and_the_state_of_one_training_hold_the_same_losses(tmp_path):
    callback = RLDKCallback(
        output_dir=str(tmp_path / "rldk_logs"), run_id="my_run", enable_jsonl_logging=True
    )
    trainings.line(tmp_path, [callback], save_strategy="steps", save_steps=4).train()
    events = TRLAdapter(tmp_path / "rldk_logs" / "my_run_events.jsonl")
    state = TRLAdapter(tmp_path / "out")
    assert (events.format, state.format) == ("rldk", "trainer-state")
    losses = [[one.metrics["loss"] for one in run if one.phase == "train"] for run in (events, state)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_what_another_tool_wrote_is_refused_and_said_what_was_tried(tmp_path):
    texts = {
        "log.jsonl": '{"step": 1, "loss": 0.5}\n' * 3,
        "train_events.jsonl": '{"step": 1, "loss": 0.5}\n' * 3,
        "progress.csv": "step,loss\n1,0.5\n2,0.25\n",
        "verl.log": "step:1 - actor/pg_loss:0.5 - actor/entropy:0.1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(
            UnknownFormatError, match=r"tried: rldk, trainer-state, trl-completions, console\)"
        ):
            TRLAdapter(tmp_path / name)
    with pytest.raises(RunNotFoundError):
        TRLAdapter(str(tmp_path / "none"))


def test_a_folder_is_what_trl_left_in_it_whatever_else_lies_there(tmp_path):
    (tmp_path / "trainer_state.json").write_text(STATE)
    (tmp_path / "progress.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    (tmp_path / "train.log").write_text("{'loss': 0.5, 'grad_norm': 1.0, 'epoch': 0.1}\n" * 3)
    run = TRLAdapter(tmp_path, mapping={"my_score": "reward_mean"})
    assert run.format == "trainer-state"
    assert [one.metrics for one in run] == [{"reward_mean": 0.5, "loss": 2.0}]
    (tmp_path / "trainer_state.json").unlink()
    assert TRLAdapter(tmp_path).format == "console"
    write_run(tmp_path, logged(1))
    assert type(TRLAdapter(tmp_path)) is RecordedRun
