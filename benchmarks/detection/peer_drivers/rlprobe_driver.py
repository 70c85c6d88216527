"""rlprobe: a run directory written by its own callback and recorder, then its `diagnose`.

Each log goes through `RlprobeCallback.on_log`, which is what `attach(trainer, run_dir)` registers. Where a
log holds what the schema of rlprobe has a field for and its mapping of TRL leaves out (a critic, other
frameworks' names, how many of loss and gradient norm are not finite), it goes to `Recorder.log_step`, the
manual API, with these fields too.
"""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rlprobe.doctor import diagnose
from rlprobe.integrations.trl import RlprobeCallback, _map_logs
from serve import Found, history, serve

SEVERITY = {"info": "info", "warn": "warning", "critical": "critical"}
MANUAL = {
    "critic/vf_explained_var": "value_explained_variance",
    "train/explained_variance": "value_explained_variance",
    "critic/vf_loss": "value_loss",
    "loss/value_avg": "value_loss",
    "train/value_loss": "value_loss",
    "val/clipfrac_avg": "value_clip_fraction",
    "policy/clipfrac_avg": "clip_fraction",
    "policy/entropy_avg": "entropy_mean",
    "val/ratio": "ratio_mean",
    "objective/kl": "kl_mean",
    "objective/scores": "reward_mean",
    "timing_s/step": "step_time_s",
    "timing_s/gen": "generation_time_s",
    "val/contain_eos_token": "eos_rate",
}
WATCHED = ("loss", "grad_norm")


def judge(task: dict[str, Any], folder: Path) -> tuple[Found, str]:
    logs, config = history(task)
    # No handlers: they outlive the run. The queue drops what a training would not log so fast.
    callback = RlprobeCallback(
        folder / "run", install_handlers=False, capture_env=False, queue_size=len(logs) + 100
    )
    args = SimpleNamespace(world_size=1, process_index=0, to_dict=lambda: config)
    callback.on_train_begin(args, SimpleNamespace(global_step=0), None)
    for entry in logs:
        step = entry.pop("step")
        more = _manual(entry)
        if more:
            callback.recorder.log_step(step, **{**more, **_map_logs(entry)})
        else:
            callback.on_log(args, SimpleNamespace(global_step=step), None, logs=entry)
    callback.on_train_end(args, SimpleNamespace(global_step=config["global_step"]), None)
    # `first_step` is where rlprobe puts the onset when it looks back, not when it would have spoken.
    found = [
        {"name": _name(one), "severity": SEVERITY[one.severity], "step": None}
        for one in diagnose(folder / "run")
    ]
    return found, "its run directory"


def _manual(entry: dict[str, Any]) -> dict[str, float]:
    more: dict[str, float] = {}
    for key, field in MANUAL.items():
        value = entry.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            more.setdefault(field, value)
    watched = [entry[key] for key in WATCHED if isinstance(entry.get(key), float)]
    counts = {
        "nan_count": sum(math.isnan(value) for value in watched),
        "inf_count": sum(math.isinf(value) for value in watched),
    }
    return more | {field: count for field, count in counts.items() if count}


def _name(finding: Any) -> str:
    """The signature, and for a bad gradient which of its two kinds."""
    if finding.signature_id != "GRAD_PATHOLOGY":
        return finding.signature_id
    counts = any(evidence.get("metric") == "nan_count+inf_count" for evidence in finding.evidence)
    return "GRAD_PATHOLOGY:" + ("nonfinite" if counts else "spikes")


if __name__ == "__main__":
    serve(judge, ("rlprobe", "transformers", "numpy", "pyarrow", "pydantic"))
