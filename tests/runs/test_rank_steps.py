"""The steps of all ranks, side by side."""

import json

from events import event, write_run
from rldk.doctor.judge import judge
from rldk.runs import RecordedRun
from rldk.runs.rank_steps import steps_of_ranks
from rldk.schema.files import RunFiles


def journal(files, rank, steps, **fields):
    with files.resources(rank).open("a") as file:
        for step in steps:
            line = {"kind": "step_time", "time": 1.0, "step": step, "seconds": 1.0, **fields}
            file.write(json.dumps(line) + "\n")


def test_steps_that_every_rank_recorded(tmp_path):
    files = RunFiles(tmp_path, "run")
    journal(files, 0, range(1, 6), cpu_seconds=0.5)
    journal(files, 1, range(3, 9), reward_seconds=0.25)
    found = list(steps_of_ranks(files))
    assert [at.step for at in found] == [3, 4, 5]
    assert found[0].kind == "rank"
    assert found[0].values == {
        "seconds/0": 1.0,
        "cpu_seconds/0": 0.5,
        "seconds/1": 1.0,
        "reward_seconds/1": 0.25,
    }


def test_one_rank_is_compared_with_nobody(tmp_path):
    files = RunFiles(tmp_path, "run")
    journal(files, 0, range(5))
    assert list(steps_of_ranks(files)) == []


def test_other_lines_torn_ones_and_another_run_are_passed_over(tmp_path):
    files = RunFiles(tmp_path, "run")
    for rank in (0, 1):
        journal(files, rank, [1])
        with files.resources(rank).open("a") as file:
            file.write(
                '{"kind": "resource", "time": 1.0}\n{"kind": "step_time", "step": "x"}\n{"kind": "step_t'
            )
            file.write("\n")
        journal(files, rank, [2])
    journal(RunFiles(tmp_path, "run_2"), 2, [1])
    assert files.ranks() == [0, 1]
    assert [at.step for at in steps_of_ranks(files)] == [1, 2]


def test_after_a_resume_the_ranks_meet_again(tmp_path):
    files = RunFiles(tmp_path, "run")
    journal(files, 0, [*range(1, 9), *range(5, 30)])
    journal(files, 1, [*range(1, 7), *range(5, 30)])
    steps = [at.step for at in steps_of_ranks(files)]
    assert steps[:6] == [1, 2, 3, 4, 5, 6]
    assert steps[-10:] == list(range(20, 30))


def test_the_doctor_compares_them(tmp_path):
    files = write_run(tmp_path, *(event(step, reward_mean=0.5) for step in range(1, 31)))
    journal(files, 0, range(1, 31), reward_seconds=0.05)
    journal(files, 1, range(1, 31), reward_seconds=0.8)
    found = [finding for finding in judge(RecordedRun(files)).findings if finding.rule == "straggler"]
    assert "rank 1 takes" in found[0].message
