"""Makes the trainings again that were recorded with everything on, each in a process of its own.

`python benchmarks/detection/train_inside.py [NAME...] [--jobs N] [--only-missing]`: all that the
installed TRL is meant for, or those whose name begins with a NAME. A run lies in `inside/runs/<row>-s<seed>`.
Prints a line where the final report of a run and the doctor, who is asked afterwards, do not agree.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from inside.keeping import keep
from inside.table import Row, by_run
from rich.console import Console
from rich.progress import track

from rldk.doctor.judge import judge
from rldk.runs import RecordedRun, Run, open_run
from rldk.schema.files import RunFiles

HERE = Path(__file__).resolve().parent
RUNS = HERE / "inside" / "runs"
LIMIT = 180.0
"""Seconds that a training may take."""
QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "PYTHONWARNINGS": "ignore",
}


def main() -> int:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="runs, or beginnings of their names; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--only-missing", action="store_true", help="leave the runs that are there")
    options = parser.parse_args()
    wanted = [
        (run, row)
        for run, row in by_run().items()
        if version("trl").startswith(row.trl)
        and (not options.names or run.startswith(tuple(options.names)))
        and not (options.only_missing and (RUNS / run).exists())
    ]
    said = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        running = [pool.submit(_run, run, row) for run, row in wanted]
        for done in track(as_completed(running), "training", len(running), console=Console(stderr=True)):
            for line in done.result():
                said += 1
                print(line, flush=True)
    return int(said > 0)


def _run(name: str, row: Row) -> list[str]:
    """Train one, in as many processes as it has starts, and keep it; what is to be told of it."""
    with tempfile.TemporaryDirectory(prefix="rldk-inside-") as scratch:
        folder = Path(scratch)
        for start in range(1 + row.resumes):
            command = [sys.executable, "-m", "inside.training", name, scratch, *["--resumes"] * start]
            try:
                ended = subprocess.run(
                    command, cwd=HERE, env=os.environ | QUIET, timeout=LIMIT, capture_output=True, check=False
                )
            except subprocess.TimeoutExpired:
                return [f"{name}: took longer than {LIMIT:.0f} s"]
        run = RecordedRun(RunFiles(folder, name))
        if not run.parts:
            return [f"{name}: nothing was recorded: {ended.stderr.decode()[-300:]}"]
        if not row.fault and ended.returncode:
            return [f"{name}: failed: {ended.stderr.decode()[-300:]}"]
        return _keep(run, name)


def _keep(run: Run, name: str) -> list[str]:
    """Store it, and compare what was said live, is said of it, and is said of what is stored."""
    from inside.training import config_of  # needs TRL

    diagnosis = judge(run)
    found = msgspec.to_builtins(diagnosis.findings)
    told = []
    if run.files.final_report.exists():
        report = msgspec.json.decode(run.files.final_report.read_bytes())["findings"]
        told += [f"{name}: live and afterwards differ: {line}" for line in _differences(report, found)]
    alerts = msgspec.json.decode(run.files.alerts.read_bytes()) if run.files.alerts.exists() else []
    live = sorted((one["finding"]["rule"], one["finding"]["severity"]) for one in alerts)
    if live != (again := _alerts(run)):
        told.append(f"{name}: alerts live {live}, afterwards {again}")
    shutil.rmtree(RUNS / name, ignore_errors=True)
    defaults = type(config_of(by_run()[name], Path("x"), 1))(output_dir="x", bf16=False).to_dict()
    keep(run, diagnosis, RUNS / name, defaults)
    stored = judge(open_run(RUNS / name)).findings
    if [(one.rule, one.severity) for one in stored] != [(one["rule"], one["severity"]) for one in found]:
        told.append(f"{name}: what is stored is judged otherwise: {[one.rule for one in stored]}")
    return told


def _alerts(run: Run) -> list[tuple[str, str]]:
    """What is alerted when the run is told to a monitor again."""
    monitor = run.settings().monitor(run.context())
    said = [(one.rule.name, one.verdict.severity.word) for one in monitor.begin()]
    for at in run.observations():
        news = monitor.observe(at)
        if at.kind != "end":  # it is in the report, and no alert; an incident goes on changing
            said += [(one.rule.name, one.verdict.severity.word) for one in news]
    return sorted(said)


def _differences(live: list[dict[str, Any]], afterwards: list[dict[str, Any]]) -> list[str]:
    by_rule = [
        {one["rule"]: one for one in many if one["rule"] != "straggler"} for many in (live, afterwards)
    ]
    lines = []
    for rule in sorted(by_rule[0].keys() | by_rule[1].keys()):
        one, other = by_rule[0].get(rule), by_rule[1].get(rule)
        if one is None or other is None:
            lines.append(f"{rule} was said {'afterwards' if one is None else 'live'} only")
        else:
            lines += [f"{rule}.{key}: {one[key]!r} | {other[key]!r}" for key in one if one[key] != other[key]]
    return lines


if __name__ == "__main__":
    sys.exit(main())
