"""Runs that tests of several rules of the checkpoint family use."""

from checkpoints.judging import findings
from rldk.schema.checkpoint import Analysis, Comparison, LoraAdapter, Optimizer, Part, TrainerProgress


def facts(step=20, **changes):
    """A whole checkpoint in which nothing is wrong."""
    whole = {
        "path": f"/out/checkpoint-{step}",
        "step": step,
        "kind": "model",
        "parts": [Part(name="model.safetensors", bytes=1000, tensors=3)],
        "bytes": 1000,
        "tensors": 3,
        "state": "whole",
        "resumable": True,
        "progress": TrainerProgress(step=step, logged_step=step, logged_lr=1e-3, steepest=1e-5, updates=step),
    }
    return Analysis(**(whole | changes))


def found(rule, analysis, **context):
    return findings(analysis, **context).get(rule)


def compared(**changes):
    same = {"path": "/out/checkpoint-10", "step": 10, "steps": 10, "highest_lr": 1e-6, "bytes_before": 1000}
    return Comparison(**(same | {"tensors": 3, "unchanged_tensors": 3, "unchanged": 1.0} | changes))


def adapter(**changes):
    return LoraAdapter(
        **({"kind": "LORA", "bytes": 5000, "base": "m", "r": 8, "modules": 4, "zero_b": 4} | changes)
    )


def optimizer(**changes):
    whole = {"parameters": 9, "moments": True, "fewest_steps": 20, "most_steps": 20}
    return Optimizer(**(whole | {"lr": [9e-4], "scheduled_lr": [9e-4]} | changes))
