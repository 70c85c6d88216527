"""The last checkpoint before a fault, as far as it is still there."""

import json

from events import event, write_run
from rldk.doctor.good_checkpoint import UNKNOWN, checkpoint_states, last_checkpoint, last_good
from rldk.doctor.judge import judge
from rldk.runs import RecordedRun, open_run


def folder_with(tmp_path, *steps):
    for step in steps:
        (tmp_path / "out" / f"checkpoint-{step}").mkdir(parents=True)
    return tmp_path / "out"


def test_the_newest_that_is_not_after_the_step(tmp_path):
    out = folder_with(tmp_path, 5, 20, 100)
    (out / "checkpoint-18").write_text("a file")
    (out / "checkpoint-19-old").mkdir()
    assert last_checkpoint(out, 19) == str(out / "checkpoint-5")
    assert last_checkpoint(out, 20) == str(out / "checkpoint-20")
    assert last_checkpoint(out, 4) is None
    assert last_checkpoint(out, None) is None
    assert last_checkpoint(None, 20) is None
    assert last_checkpoint(tmp_path / "absent", 20) is None


def test_a_finding_names_it(tmp_path):
    out = folder_with(tmp_path, 10, 20, 30)
    records = [event(step, loss=1.0 + step % 3 / 10, grad_norm=1.0 + step % 5 / 10) for step in range(1, 25)]
    ill = [
        event(step, "train", ("nonfinite:grad_norm=nan",), loss=0.0, grad_norm=None) for step in range(25, 30)
    ]
    files = write_run(tmp_path / "logs", *records, *ill)
    files.run.write_text(json.dumps({"trainer_dir": str(out)}))
    (finding,) = [one for one in judge(RecordedRun(files)).findings if one.rule == "non-finite"]
    assert finding.last_good_step == 24
    assert finding.last_good_checkpoint == str(out / "checkpoint-20")
    assert finding.last_good_because == UNKNOWN


def analysis(step, **facts):
    about = {"path": f"checkpoint-{step}", "step": step, "tensors": 26, "resumable": True} | facts
    return json.dumps({"kind": "checkpoint", "step": step, "seen_at_step": step, "analysis": about}) + "\n"


def test_one_that_was_found_bad_is_passed_over_and_one_that_was_read_is_said_to_be_good(tmp_path):
    out = folder_with(tmp_path, 10, 20, 30, 40)
    files = write_run(tmp_path / "logs", event(1))
    files.checkpoints.write_text(
        analysis(10, resumable=False, missing=["optimizer.pt"])
        + analysis(20, non_finite=[{"name": "lm_head.weight", "nan": 1}], non_finite_tensors=1)
        + "{torn\n"
        + analysis(30, gone="deleted while it was read")
    )
    saved = checkpoint_states(RecordedRun(files).analyses())
    path, because = last_good(out, 25, saved)
    assert path == str(out / "checkpoint-10")
    assert because.startswith("its 26 tensors were read after it was saved, whole and finite; it is enough")
    assert last_good(out, 35, saved) == (str(out / "checkpoint-30"), UNKNOWN)
    assert last_good(out, 9, saved) is None


def test_a_mask_of_infinities_makes_no_checkpoint_bad(tmp_path):
    files = write_run(tmp_path / "logs", event(1))
    mask = {"name": "layers.0.attn.causal_mask", "inf": 9}
    files.checkpoints.write_text(analysis(20, non_finite=[mask], non_finite_tensors=1))
    assert checkpoint_states(RecordedRun(files).analyses())[20].good


def test_a_file_that_is_cut_makes_a_bad_checkpoint(tmp_path):
    files = write_run(tmp_path / "logs", event(1))
    part = {"name": "model.safetensors", "bytes": 10, "tensors": 0, "fault": "cut short"}
    files.checkpoints.write_text(analysis(5, tensors=0, parts=[part]))
    assert not checkpoint_states(RecordedRun(files).analyses())[5].good


def test_the_state_of_a_trainer_lies_beside_its_checkpoints(tmp_path):
    out = folder_with(tmp_path, 2, 4)
    history = [{"step": step, "loss": 0.5, "grad_norm": 1.0} for step in (1, 2, 3)]
    history += [{"step": step, "loss": 0.0, "grad_norm": float("nan")} for step in (4, 5, 6)]
    state = {"log_history": history, "global_step": 6}
    for path in (out / "trainer_state.json", out / "checkpoint-4" / "trainer_state.json"):
        path.write_text(json.dumps(state))
        (finding,) = [one for one in judge(open_run(path)).findings if one.rule == "non-finite"]
        assert finding.last_good_checkpoint == str(out / "checkpoint-2")


def test_an_analysed_path_of_any_name_is_a_candidate_while_it_exists(tmp_path):
    out = folder_with(tmp_path, 10, 30)  # 30 is of another run
    paths = {step: tmp_path / "saves" / f"epoch{step}" for step in (20, 30)}
    for path in paths.values():
        path.mkdir(parents=True)
    files = write_run(tmp_path / "logs", event(1))
    files.checkpoints.write_text("".join(analysis(step, path=str(path)) for step, path in paths.items()))
    saved = checkpoint_states(RecordedRun(files).analyses())
    assert last_good(out, 29, saved) == (str(paths[20]), saved[20].because)
    assert last_good(out, 30, saved) == (str(paths[30]), saved[30].because)
    paths[20].rmdir()
    assert last_good(out, 29, saved) == (str(out / "checkpoint-10"), UNKNOWN)


def test_the_only_tensor_is_named_in_the_singular(tmp_path):
    files = write_run(tmp_path / "logs", event(1))
    files.checkpoints.write_text(analysis(5, tensors=1))
    because = checkpoint_states(RecordedRun(files).analyses())[5].because
    assert because == "its only tensor was read after it was saved, whole and finite"
