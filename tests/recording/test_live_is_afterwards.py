"""Live and afterwards give the same findings: on runs of every kind, killed and resumed ones too."""

import json
import math
import random

import pytest

from events import event, found_in
from recording_one import begin
from rldk.doctor.judge import monitor_of
from rldk.health import diagnose
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun

RUNS = 1000
LEVELS = {
    "grpo": {
        "reward_mean": 0.5,
        "reward_std": 0.3,
        "rewards/a/mean": 0.5,
        "rewards/a/std": 0.3,
        "rewards/b/mean": 0.1,
        "rewards/b/std": 0.1,
        "frac_reward_zero_std": 0.2,
        "loss": 0.01,
        "grad_norm": 1.0,
        "lr": 1e-5,
        "kl_mean": 0.05,
        "entropy_mean": 0.8,
        "clip_frac": 0.02,
        "completion_length_mean": 200.0,
        "truncated_frac": 0.05,
        "sampling_logp_difference_mean": 0.01,
        "importance_sampling_ratio_mean": 1.0,
        "step_time": 3.0,
    },
    "dpo": {
        "loss": 0.6,
        "grad_norm": 2.0,
        "lr": 1e-6,
        "rewards_chosen": 0.1,
        "rewards_rejected": -0.1,
        "rewards_margins": 0.2,
        "rewards_accuracies": 0.6,
        "logps_chosen": -100.0,
    },
    "sft": {"loss": 1.5, "grad_norm": 1.0, "lr": 1e-5, "token_accuracy_mean": 0.6, "entropy_mean": 1.0},
}
ENDS = [
    ("completed",),
    ("stopped",),
    ("interrupted", "KeyboardInterrupt"),
    ("terminated", "SIGTERM"),
    ("exception", "ValueError: boom"),
    ("exception", "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"),
    ("exception", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
]


def series(rng, steps):
    """Train records of one algorithm, with a few faults thrown in."""
    algorithm = rng.choice(list(LEVELS))
    levels = dict(LEVELS[algorithm])
    faults = {rng.randrange(1, steps + 1): rng.choice(list(levels)) for _ in range(rng.randrange(4))}
    scale = dict.fromkeys(levels, 1.0)
    events = []
    for step in range(1, steps + 1):
        if step in faults:
            scale[faults[step]] = rng.choice([0.0, 0.01, 5.0, 100.0, math.nan, math.inf])
        values = {name: level * scale[name] * rng.lognormvariate(0, 0.1) for name, level in levels.items()}
        odd = {name: value for name, value in values.items() if not math.isfinite(value)}
        if rng.random() < 0.01:
            odd["loss"] = None
        notes = tuple(f"nonfinite:{name}={'none' if v is None else v}" for name, v in odd.items())
        if rng.random() < 0.1:
            values = {name: value for name, value in values.items() if not name.startswith("reward")}
        events.append(event(step, "train", notes, **values | dict.fromkeys(odd)))
        if step % 10 == 0:
            events.append(event(step, "eval", eval_loss=rng.random(), eval_rewards_accuracies=rng.random()))
    return algorithm, events


@pytest.mark.parametrize("chunk", range(10))
def test_generated_runs(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr(JsonlWriter, "sync", lambda self: None)  # a thousand runs need no fsync
    found = set()
    for seed in range(chunk * RUNS // 10, (chunk + 1) * RUNS // 10):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        algorithm, events = series(rng, rng.randrange(1, 90))
        about = {"algorithm": algorithm, "args": {"num_generations": 8, "max_steps": 90}}
        recorder = begin(folder, about=about, write=lambda *_: None)
        cut = rng.randrange(len(events)) if rng.random() < 0.3 else None
        for one in events[:cut]:
            recorder.record(one)
        if cut is not None:  # killed there, and resumed from an earlier checkpoint
            last = events[cut].step
            recorder.close()
            from_step = rng.randrange(last + 1)
            recorder = begin(folder, from_step=from_step, about=about, write=lambda *_: None)
            for one in events:
                if one.step > recorder._step and one.step > from_step:
                    recorder.record(one)
        recorder.end(*rng.choice(ENDS))
        recorder.close()
        live = recorder.live_doctor.diagnosis()
        assert found_in(RecordedRun(recorder.files)) == live, seed
        assert recorder._guard.failures == 0, seed
        found |= {finding.rule for finding in live.findings}
    assert len(found - {"crash", "unfinished-run"}) > 8
    assert {"crash", "unfinished-run"} <= found


def test_what_the_report_and_the_alerts_say_is_what_a_later_look_finds(tmp_path):
    _, events = series(random.Random(3), 80)
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    for one in events:
        recorder.record(one)
    recorder.end("completed")
    report = json.loads(recorder.files.final_report.read_text())
    monitor = monitor_of(RecordedRun(recorder.files))
    later = diagnose(monitor)
    assert report["status"] == later.status
    assert [one["rule"] for one in report["findings"]] == [one.rule for one in later.findings]
    alerted = {one["finding"]["rule"] for one in json.loads(recorder.files.alerts.read_text())}
    assert {one.rule for one in later.findings} <= alerted
    recorder.close()
