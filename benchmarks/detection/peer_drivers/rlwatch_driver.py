"""rlwatch at its defaults: `attach(trainer=...)`, and the callback that it registers is given each log.

What its callback for TRL does not know the name of and its monitor has an argument for (the keys of TRL's
PPO) is given under the name that it knows.
"""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rlwatch
from serve import Found, history, serve

KNOWN = {
    "objective/kl": "kl",
    "objective/scores": "reward",
    "policy/entropy_avg": "entropy",
    "policy/clipfrac_avg": "clip_fraction",
    "loss/policy_avg": "policy_loss",
}


class Trainer:
    """What rlwatch asks of a trainer."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_callback(self, callback: Any) -> None:
        """Keep it."""
        self.callbacks.append(callback)


def judge(task: dict[str, Any], folder: Path) -> tuple[Found, str]:
    logs, _ = history(task)
    trainer = Trainer()
    monitor = rlwatch.attach(framework="trl", trainer=trainer, storage={"log_dir": str(folder)})
    (callback,) = trainer.callbacks
    for entry in logs:
        step = entry.pop("step")
        for key, known in KNOWN.items():
            if key in entry:
                entry.setdefault(known, entry[key])
        callback.on_log(None, SimpleNamespace(global_step=step), None, logs=entry)
    first: dict[tuple[str, str], int] = {}
    for alert in monitor.store.get_alerts():
        first.setdefault((_name(alert), alert["severity"]), alert["step"])
    monitor.stop()
    found = [{"name": name, "severity": severity, "step": at} for (name, severity), at in first.items()]
    return found, "its callback"


def _name(alert: dict[str, Any]) -> str:
    """The detector; for a drift of the reward also where to."""
    values = json.loads(alert["metric_values_json"] or "{}")
    return ":".join(filter(None, (alert["detector"], values.get("direction"))))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serve(judge, ("rlwatch", "transformers", "numpy", "scipy", "diptest"))
