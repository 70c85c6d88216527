"""rldoctor after the run: `load_run` and `diagnose`, as its README and its command do it.

A public log is read by rldoctor itself where it can. Where it cannot, or finds no metric in it that it knows,
it gets the run as a `trainer_state.json`.
"""

import shutil
from pathlib import Path
from typing import Any

from rl_doctor import Finding, Run, diagnose, load_run
from serve import Found, history, serve


def judge(task: dict[str, Any], folder: Path) -> tuple[Found, str]:
    if task["native"]:
        try:
            run = load_run(_native(Path(task["native"]), folder))
            if run.series or run.reward_components:
                return _found(run), "as it is"
        except Exception as error:
            if task["state"] is None:
                raise
            del error  # it is read again in the other form
    history(task)
    return _found(load_run(task["state"])), "trainer_state.json"


def _native(path: Path, folder: Path) -> str:
    """The log, or for TensorBoard a folder with it: rldoctor reads folders, and by the usual name."""
    if path.suffix != ".tfevents":
        return str(path)
    shutil.copy(path, folder / "events.out.tfevents.1")
    return str(folder)


def _found(run: Run) -> Found:
    return [
        {"name": name, "severity": finding.severity.name.lower(), "step": None}
        for finding in diagnose(run).problems
        for name in _names(finding)
    ]


def _names(finding: Finding) -> list[str]:
    """The detector, and which of the things that it looks for were found, by the numbers that it gives."""
    said = finding.metrics
    get = said.get
    parts: list[str] = []
    match finding.detector:
        case "advantage_collapse":
            parts = [str(get("regime", "mixed"))]
        case "length_pathology":
            if (get("truncation_rate") or 0) >= 0.05:
                parts.append("truncation")
            if get("length_growth", 0) >= 0.5:
                parts.append("hacking" if get("length_reward_corr", 0) >= 0.6 else "growth")
        case "clip_saturation":
            if get("clipfrac", 0) >= 0.1:
                parts.append("saturation")
            if get("clip_asymmetry", 0) >= 3 and get("clipfrac_low", 0) >= 0.02:
                parts.append("asymmetry")
        case "kl_drift":
            parts = ["high" if get("kl_current", 0) >= 0.5 else "pinned"]
        case "gradient_pathology":
            if get("n_nonfinite"):
                parts.append("nonfinite")
            if get("zero_grad_step_frac", 0) >= 0.2:
                parts.append("zero")
            if get("grad_initial", 0) > 0 and get("grad_current", 0) / get("grad_initial", 1) <= 0.05:
                parts.append("vanishing")
            if get("n_spikes"):
                parts.append("spikes")
        case "reward_composition":
            shares = get("variance_shares", {})
            if max(shares.values(), default=0) >= 0.7:
                parts.append("dominant")
            if min(shares.values(), default=1) < 0.02:
                parts.append("dead")
        case "plateau":
            parts = ["declining" if "declining" in finding.summary else "flat"]
    return [f"{finding.detector}:{part}" for part in parts] or [finding.detector]


if __name__ == "__main__":
    serve(judge, ("rldoctor", "numpy", "tbparse", "tensorboard"))
