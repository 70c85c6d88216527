"""What becomes of the records when a process dies, fails, is not alone, or finds the disk full."""

import json
import os
import signal
import time

import pandas as pd
import pytest

from integrations.witness import of_phase, read
from processes import PATIENCE_S, environment
from rldk.runs import RecordedRun
from rldk.runs.metric_table import WRITERS
from rldk.schema.files import RunFiles

pytestmark = pytest.mark.training
compat = pytest.mark.compat

PREAMBLE = """
import os, resource, shutil, signal, sys, time
from pathlib import Path
from integrations import trainings
from integrations.trainings import After
from rldk.integrations.trl import RLDKCallback

here = Path.cwd()
"""


@pytest.fixture
def begin(warm_python, tmp_path):
    """Starts a script in `tmp_path`."""
    processes = []

    def begin_process(script):
        path = tmp_path / f"script{len(processes)}.py"
        path.write_text(PREAMBLE + script)
        code = path.read_text()
        processes.append(warm_python.start(code, folder=str(tmp_path), path=str(path), env=environment()))
        return processes[-1]

    yield begin_process
    for process in processes:
        process.close()


@pytest.fixture
def run(begin):
    """Runs a script to its end; gives the exit code and what it wrote to stderr."""

    def run_script(script):
        process = begin(script)
        _, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, err

    return run_script


def train_steps(path):
    return [line["step"] for line in of_phase(read(path), "train")]


def report(files):
    return json.loads(files.final_report.read_text())


@compat
def test_an_evaluation_after_the_training_is_in_every_file_at_exit(run, tmp_path):
    code, _ = run("""
trainer = trainings.line(here, [RLDKCallback("logs", "r")])
trainer.train()
print(trainer.evaluate())
""")
    assert code == 0
    files = RunFiles(tmp_path / "logs", "r")
    lines = read(files.events)
    assert [line["model_info"]["phase"] for line in lines] == ["train"] * 4 + ["summary", "eval"]
    loss = lines[-1]["metrics"]["eval_loss"]
    table = pd.read_csv(files.metrics_csv)
    assert table["phase"].tolist() == ["train"] * 4 + ["summary", "eval"]
    assert table["eval_loss"].tolist()[-1] == loss
    assert json.loads(files.metrics_json.read_text())["steps"][-1]["eval_loss"] == loss
    assert report(files)["records"] == 6
    assert RecordedRun(files).state == "ended"


def test_two_processes_with_one_run_id_make_two_runs(begin, tmp_path):
    script = """
mine, other = {mine!r}, {other!r}

def meet():
    Path(mine).touch()
    for _ in range(1200):
        if Path(other).exists():
            return
        time.sleep(0.05)
    sys.exit("the other process did not come")

trainings.line(here, [RLDKCallback("logs", "r"), After(2, meet)]).train()
"""
    names = [("a", "b"), ("b", "a")]
    processes = [begin(script.format(mine=mine, other=other)) for mine, other in names]
    errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    runs = sorted(path.name for path in (tmp_path / "logs").glob("*_events.jsonl"))
    assert runs == ["r-2_events.jsonl", "r_events.jsonl"]
    for name in ("r", "r-2"):
        lines = read(tmp_path / "logs" / f"{name}_events.jsonl")
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 4]
        assert {line["model_info"]["run_id"] for line in lines} == {name}
    assert sum("r-2" in error for error in errors) == 1


@pytest.mark.parametrize(("run_id", "last"), [("r", 10), pytest.param(None, 5, marks=compat)])
def test_a_resume_after_kill_9_goes_on_and_has_each_step_once(run_id, last, run, tmp_path):
    """The first attempt is killed at step 7; the second goes on from 4, once further, once less far."""
    changes = 'save_strategy="steps", save_steps=4, max_steps=10'
    code, _ = run(f"""
kill = After(7, lambda: os.kill(os.getpid(), signal.SIGKILL))
trainings.line(here, [RLDKCallback("logs", {run_id!r}), kill], {changes}).train()
""")
    assert code == -signal.SIGKILL
    files = RunFiles(tmp_path / "logs", run_id or "out")
    assert train_steps(files.events) == [1, 2, 3, 4, 5, 6, 7]
    give_up = time.monotonic() + 60
    while RecordedRun(files).state == "running" and time.monotonic() < give_up:
        time.sleep(0.05)  # a child that was being started holds the lock until it runs its own program
    assert RecordedRun(files).state == "unfinished"

    code, _ = run(f"""
trainer = trainings.line(here, [RLDKCallback("logs", {run_id!r})], {changes})
trainer.add_callback(After({last}, lambda: setattr(trainer.control, "should_training_stop", True)))
trainer.train(resume_from_checkpoint=True)
""")
    assert code == 0
    assert [path.name for path in (tmp_path / "logs").glob("*_events*")] == [files.events.name]
    assert train_steps(files.events) == [*range(1, 8), *range(5, last + 1)]
    resumed = [line["step"] for line in read(files.events) if "resumed:from_step=4" in line["notes"]]
    assert resumed == [5]
    times = [line["wall_time"] for line in read(files.events)]
    assert times == sorted(times)

    found = {}
    for name, write in WRITERS.items():
        with (tmp_path / name).open("wb") as file:
            write(RecordedRun(files), file)
    found["csv"] = pd.read_csv(tmp_path / "csv").query("phase == 'train'")["step"].tolist()
    found["parquet"] = pd.read_parquet(tmp_path / "parquet").query("phase == 'train'")["step"].tolist()
    found["jsonl"] = train_steps(tmp_path / "jsonl")
    rows = json.loads((tmp_path / "json").read_text())["steps"]
    found["json"] = [row["step"] for row in rows if row["phase"] == "train"]
    found["metrics.csv"] = pd.read_csv(files.metrics_csv).query("phase == 'train'")["step"].tolist()
    assert found == {name: list(range(1, last + 1)) for name in found}
    assert len(found) == len(WRITERS) + 1
    assert len(RecordedRun(files).info.attempts) == 2


@compat
def test_an_exception_ends_the_process_as_ever_and_is_in_the_report(run, tmp_path):
    code, err = run("""
def fail():
    raise ValueError("the reward is too good")

trainings.line(here, [RLDKCallback("logs", "r"), After(3, fail)]).train()
""")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert "ValueError: the reward is too good" in err
    assert "in fail" in err
    files = RunFiles(tmp_path / "logs", "r")
    assert train_steps(files.events) == [1, 2, 3]
    end = report(files)["end"]
    assert (end["how"], end["step"]) == ("exception", 3)
    assert end["detail"] == "ValueError: the reward is too good"
    assert pd.read_csv(files.metrics_csv)["step"].tolist() == [1, 2, 3]
    assert RecordedRun(files).state == "ended"


def test_ctrl_c_is_an_interruption(run, tmp_path):
    code, err = run("""
interrupt = After(3, lambda: signal.raise_signal(signal.SIGINT))
trainings.line(here, [RLDKCallback("logs", "r"), interrupt]).train()
""")
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    files = RunFiles(tmp_path / "logs", "r")
    assert train_steps(files.events) == [1, 2, 3]
    assert report(files)["end"]["how"] == "interrupted"


def test_sigterm_kills_as_ever_and_loses_nothing(run, tmp_path):
    code, _ = run("""
end = After(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
trainings.line(here, [RLDKCallback("logs", "r"), end]).train()
""")
    assert code == -signal.SIGTERM
    files = RunFiles(tmp_path / "logs", "r")
    assert train_steps(files.events) == [1, 2, 3]
    assert RecordedRun(files).state == "ended"
    assert report(files)["end"]["how"] == "terminated"
    assert pd.read_csv(files.metrics_csv)["step"].tolist() == [1, 2, 3]


def test_a_full_disk_stops_no_training_and_loses_nothing_once_there_is_room(run, tmp_path):
    """No file may grow beyond the events file's size at step 3; one training later, it may again."""
    code, err = run("""
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def limit(events):
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(events) + 100, hard))

def lift():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))

for name, actions in {"full": [], "lifted": [After(6, lift)]}.items():
    callback = RLDKCallback("logs", name)
    fill = After(3, lambda: limit(callback.files.events))
    trainer = trainings.line(here, [callback], max_steps=8)
    for action in [fill, *actions]:
        trainer.add_callback(action)
    trainer.train()
    assert trainer.state.global_step == 8
    print(name, callback.guard.failures)
    assert callback.guard.failures == 0
    if name == "full":
        lift()
        shutil.copy("logs/full_events.jsonl", "full.jsonl")  # as it is before there is room again
""")
    assert code == 0, err
    whole = (tmp_path / "full.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in whole[:3]] == [1, 2, 3]
    assert len(whole) == 4  # of the fourth record the disk took a part
    assert "full_events.jsonl" in err
    assert "6 of 9 records of full could not be written" in err
    full = RunFiles(tmp_path / "logs", "full")  # room came between the end of the training and the exit
    assert [line["step"] for line in read(full.events)] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert report(full)["records"] == 9
    lifted = RunFiles(tmp_path / "logs", "lifted")
    assert [line["step"] for line in read(lifted.events)] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert report(lifted)["lost"] == {
        "records": 0,
        "records_in_memory": 0,
        "records_delayed": 0,
        "longest_disk_wait": 0.0,
        "lines": 0,
        "sync_error": None,
        "hook_failures": 0,
    }


RANKS = """
import json, os
from pathlib import Path
import tiny
from integrations import trainings
from integrations.witness import Witness
from rldk.integrations.trl import RLDKCallback

trainings.leave_whole()
here, rank = Path.cwd(), int(os.environ["RANK"])
witness, callback = Witness(), RLDKCallback("logs", "r")
trainer = trainings.grpo(
    {model!r}, here, [witness, callback], max_completion_length=24, temperature=3.0, logging_steps=2
)
trainer.train()
Path(f"witness{{rank}}.json").write_text(json.dumps(witness.seen))
Path(f"files{{rank}}.txt").write_text(str(callback.files))
"""


@compat
def test_two_ranks_record_once(start, model, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    process = start(RANKS.format(model=model), launcher=launcher)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert [path.name for path in (tmp_path / "logs").glob("*_events*")] == ["r_events.jsonl"]
    assert (tmp_path / "files1.txt").read_text() == "None"
    seen = [json.loads((tmp_path / f"witness{rank}.json").read_text()) for rank in (0, 1)]
    lines = read(tmp_path / "logs" / "r_events.jsonl")
    assert [[step, phase] for step, phase, _ in seen[0]] == [
        [line["step"], line["model_info"]["phase"]] for line in lines
    ]
    names = {"reward": "reward_mean", "entropy": "entropy_mean", "learning_rate": "lr"}
    for line, (_, _, logs) in zip(lines, seen[0], strict=True):
        metrics = line["metrics"]
        assert sorted(metrics.values()) == sorted(logs.values())
        for key in set(logs) & {"loss", "grad_norm", "num_tokens", "reward", "entropy", "learning_rate"}:
            assert metrics[names.get(key, key)] == logs[key]
    train = of_phase(lines, "train")
    assert {line["data_slice"]["batch_size"] for line in train} == {8}
    tokens = [line["data_slice"]["tokens_in"] + line["data_slice"]["tokens_out"] for line in train]
    assert sum(tokens) == train[-1]["metrics"]["num_tokens"]
    lengths = [line["metrics"]["completion_length_mean"] for line in train]
    # Two generations of eight completions a record.
    assert [line["data_slice"]["tokens_out"] for line in train] == [round(16 * mean) for mean in lengths]
    assert RecordedRun(RunFiles(tmp_path / "logs", "r")).info.attempts[0].recorded["world_size"] == 2
    assert os.listdir(tmp_path / "logs").count(".r.lock") == 1
