"""`rldk.record`: recording a training loop of one's own, whatever framework it uses.

Invariant: what is wrong with an argument is raised here, before anything is recorded.
"""

import operator
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rldk.health import Rule
from rldk.integrations.loop_facts import Loop, rank_of_process
from rldk.integrations.loop_recording import LoopRecording
from rldk.metrics.dialects.detect import installed_dialects
from rldk.recording.options import RecordingOptions

__all__ = ["record"]


def record(
    run_id: str | None = None,
    *,
    config: Any = None,
    algorithm: str | None = None,
    dialect: str | None = None,
    output_dir: str | Path = "./rldk_logs",
    seed: int | None = None,
    from_step: int = 0,
    world_rank: int | None = None,
    enable_jsonl_logging: bool = True,
    enable_resource_monitoring: bool = True,
    enable_checkpoint_analysis: bool = True,
    samples_per_step: int = 4,
    alert_thresholds: Mapping[str, Mapping[str, Any]] | None = None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    rules: Sequence[type[Rule]] | None = None,
    truth_metric: str | None = None,
    stop_on: Literal["critical"] | None = None,
    rotate_mb: float | None = None,
    compress: bool = False,
    flush_interval: float = 0.0,
) -> LoopRecording:
    """Begin to record a training loop, as `RLDKCallback` records a trainer.

    Use it as a context manager: leaving the block normally ends the run as completed, an exception ends it as
    such and goes on. Without `with`, call `close`; a process that ends without it leaves a run that ended by
    the exception that ended the process, or for an unknown reason.

    Args:
        run_id: name of the run, and prefix of its files; by default that of the script. A new run whose name
            is taken records as `run_id-2`.
        config: what the loop was configured with: a mapping, a dataclass, a namespace, or an object with
            `to_dict`. It is kept in `{run_id}_run.json`, its secrets blanked; remedies name its options.
        algorithm: `grpo`, `ppo`, `dpo`, ...: rules for one algorithm need it.
        dialect: the framework whose names the keys of the log have, such as `verl`; other keys are known by
            their common names (`reward`, `kl`, `entropy`, `loss`, `lr`, ...).
        output_dir: folder of the files, made if need be.
        seed: what the loop seeded its generators with.
        from_step: the step of the checkpoint that the loop resumes from: it goes on in the files of that run.
        world_rank: this process, counted from 0; by default as torch.distributed or the launcher numbers it.
            Rank 0 alone records.
        enable_jsonl_logging: write `{run_id}_events.jsonl`. Without it, the newest events stay in memory, up
            to 240 MB, and the other files are made from these.
        enable_resource_monitoring: measure CPU, memory, disk and GPUs every two seconds.
        enable_checkpoint_analysis: read each checkpoint that `saved` names, in the background.
        samples_per_step: completions to keep of each step, where `samples` gives them.
        alert_thresholds: options of rules, by rule.
        select: rules to judge by; all by default.
        ignore: rules to leave out.
        rules: your own rules, in addition to those of rldk (`docs/own_rules.md`).
        truth_metric: the metric that the reward is a proxy of.
        stop_on: set `should_stop` where a finding stays critical for three records in a row.
        rotate_mb: begin a new part of the events file when it would outgrow so many MB.
        compress: gzip the finished parts.
        flush_interval: seconds that events may wait in memory to be written together.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range, or there is no such rule or dialect.

    Example:
        ```python
        import rldk

        with rldk.record("my_loop", config={"learning_rate": 1e-6}, algorithm="grpo") as run:
            for step in range(1, 4):
                run.log({"reward": 0.1 * step, "kl": 0.01}, step=step)
        ```
    """
    options = RecordingOptions(
        output_dir=output_dir,
        run_id=run_id,
        enable_jsonl_logging=enable_jsonl_logging,
        enable_resource_monitoring=enable_resource_monitoring,
        enable_checkpoint_analysis=enable_checkpoint_analysis,
        samples_per_step=samples_per_step,
        alert_thresholds=alert_thresholds,
        select=select,
        ignore=ignore,
        rules=rules,
        truth_metric=truth_metric,
        stop_on=stop_on,
        rotate_mb=rotate_mb,
        compress=compress,
        flush_interval=flush_interval,
    )
    dialects = installed_dialects()
    if dialect is not None and dialect not in dialects:
        raise ValueError(f"there is no dialect {dialect!r}; there are: {', '.join(dialects)}")
    loop = Loop(
        config=config,
        algorithm=algorithm and str(algorithm).lower(),
        dialect=None if dialect is None else dialects[dialect],
        seed=None if seed is None else _count("seed", seed),
        from_step=_count("from_step", from_step),
        rank=rank_of_process() if world_rank is None else _count("world_rank", world_rank),
        caller=sys._getframe(1),  # noqa: SLF001 - the documented way to a frame
    )
    return LoopRecording(options, loop)


def _count(name: str, value: Any) -> int:
    """An argument that must be a whole number of 0 or more.

    Raises:
        ValueError: it is none.
    """
    if not hasattr(value, "__index__") or (number := operator.index(value)) < 0:
        raise ValueError(f"{name} must be a whole number of 0 or more, not {value!r}")
    return number
