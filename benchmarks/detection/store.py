"""How a recorded run is kept in the repository: small, and readable by `open_run`.

Every number keeps its first six significant digits (simulated ones four), times their milliseconds; of the
configuration stays what is needed to judge the run. Invariant: no path, name or date of the machine is kept,
so that a run that is made again on the same versions differs in its timings alone.
"""

import gzip
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rldk.runs import Run
from rldk.schema.event import Event, ModelInfo, encode
from rldk.schema.files import RunFiles

DIGITS = 6
ARGS = frozenset(
    [
        "learning_rate",
        "beta",
        "num_generations",
        "num_iterations",
        "steps_per_generation",
        "max_completion_length",
        "max_length",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "epsilon",
        "epsilon_high",
        "loss_type",
        "scale_rewards",
        "mask_truncated_completions",
        "max_steps",
        "num_train_epochs",
        "warmup_steps",
        "warmup_ratio",
        "logging_steps",
        "lr_scheduler_type",
        "seed",
        "gradient_accumulation_steps",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "eval_steps",
        "eval_strategy",
        "save_strategy",
        "save_steps",
        "save_only_model",
        "use_vllm",
        "reward_weights",
        "max_grad_norm",
        "optim",
        "bf16",
        "fp16",
        "logging_nan_inf_filter",
        "label_smoothing",
        "sync_ref_model",
        "weight_decay",
    ]
)
MODEL = ("model_type", "vocab_size", "eos_token_id", "pad_token_id", "max_position_embeddings")
ATTEMPT = ("from_step", "algorithm", "args_class", "model_class", "versions")
PACKAGES = ("trl", "transformers", "torch", "peft", "accelerate")


def rounded(value: Any, digits: int) -> Any:
    """A number with so many significant digits; anything else as it is."""
    if isinstance(value, float) and math.isfinite(value) and value:
        return float(f"{value:.{digits}g}")
    return value


def slim(event: Event, run_id: str, digits: int) -> Event:
    """The event without what only this machine knows."""
    return msgspec.structs.replace(
        event,
        wall_time=None if event.wall_time is None else round(event.wall_time, 3),
        metrics={
            name: round(value, 4) if name == "step_time" and value else rounded(value, digits)
            for name, value in event.metrics.items()
        },
        rng=msgspec.structs.replace(event.rng, torch_seed=None),
        model_info=ModelInfo(
            run_id=run_id,
            phase=event.phase,
            model_name="toy" if event.model_info.model_name else None,
            model_size=event.model_info.model_size,
            optimizer=event.model_info.optimizer,
            scheduler=event.model_info.scheduler,
        ),
    )


def write_events(events: Iterable[Event], files: RunFiles, digits: int = DIGITS) -> None:
    """The events as the one finished, compressed part of a run."""
    files.folder.mkdir(parents=True, exist_ok=True)
    path = files.part(1)
    with (
        path.with_name(path.name + ".gz").open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as file,
    ):
        for event in events:
            file.write(encode(slim(event, files.run_id, digits)) + b"\n")


def write_info(info: Mapping[str, Any], files: RunFiles) -> None:
    """The `run.json` of a run."""
    files.run.write_text(json.dumps(info, indent=1, sort_keys=False) + "\n")


def info_of(run: Run) -> dict[str, Any]:
    """All that the `run.json` of a run holds."""
    return json.loads(run.files.run.read_text())


def trimmed(info: Mapping[str, Any], run_id: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's `run.json`, what is needed to judge it. `defaults`: of the configuration's class."""
    attempts = []
    for attempt in info["attempts"]:
        kept = {key: attempt[key] for key in ATTEMPT if key in attempt}
        kept["versions"] = {p: v for p, v in attempt.get("versions", {}).items() if p in PACKAGES}
        kept["args"] = {
            key: value
            for key, value in attempt["args"].items()
            if key in ARGS or (value != defaults.get(key) and not _local(key))
        }
        config = attempt.get("model_config") or {}
        kept["model_config"] = {key: config[key] for key in MODEL if key in config}
        attempts.append(kept)
    end = info.get("end") or {}
    return {
        "rldk": info["rldk"],
        "event_schema": info["event_schema"],
        "run_id": run_id,
        "name": run_id,
        "attempts": attempts,
        "end": {key: end[key] for key in ("how", "detail", "step", "records") if key in end} or None,
    }


def _local(key: str) -> bool:
    return key.endswith(("_dir", "_name", "_token")) or key in ("local_rank", "use_cpu", "report_to")
