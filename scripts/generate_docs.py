"""Writes the pages of docs/ that are made from tables in the code; they are never edited by hand.

`python scripts/generate_docs.py` writes the pages that changed; with `--check` it writes nothing,
names the pages that are stale, and exits 1 if there are any.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# So that the pages come from this checkout and not from an rldk that happens to be installed.
sys.path.insert(0, str(ROOT / "src"))

from rldk.metrics import METRICS  # noqa: E402
from rldk.metrics.dialects import Dialect  # noqa: E402
from rldk.metrics.dialects.trl import TRL, TRL_0  # noqa: E402

NOTICE = "<!-- Made by scripts/generate_docs.py. Change the tables in src/rldk, not this page. -->"
METRICS_INTRODUCTION = """\
# Metrics

One quantity has one name, whichever trainer logged it; different quantities have different names.
A key that is in no table keeps the name that the trainer gave it.
The metrics of an evaluation carry the prefix `eval_` before the canonical name.

Unless the meaning says otherwise, a value is the mean, over the batches since the last record,
of what is described for one batch, across all processes.
The direction is where a healthy run is expected to move the metric; a dash means neither way.
Meanings were read in the sources of TRL 0.23 and 1.16.
"""


def render_metrics() -> str:
    """Every canonical metric, and the keys of TRL that hold it."""
    sources = _sources({"": TRL, "TRL < 1.0": TRL_0})
    rows = [
        "| Metric | Unit | Direction | Meaning | TRL key (trainers) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS.values():
        direction = "-" if metric.direction == "none" else metric.direction
        cells = (f"`{metric.name}`", metric.unit, direction, metric.meaning, sources[metric.name])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join((NOTICE, "", METRICS_INTRODUCTION, *rows, ""))


def _sources(dialects: dict[str, Dialect]) -> dict[str, str]:
    """For each metric, the keys that hold it and who logs them; later dialects add differences."""
    base = next(iter(dialects.values()))
    everyone = len(base.by_algorithm)
    found: dict[str, dict[tuple[str, str], list[str]]] = {name: {} for name in METRICS}
    for note, dialect in dialects.items():
        for algorithm, names in dialect.by_algorithm.items():
            for key, name in names.items():
                if dialect is base or base.by_algorithm[algorithm].get(key) != name:
                    found[name].setdefault((key, note), []).append(algorithm)
    return {
        name: "; ".join(
            f"`{key}` ({_who(algorithms, everyone)}{', ' + note if note else ''})"
            for (key, note), algorithms in keys.items()
        )
        for name, keys in found.items()
    }


def _who(algorithms: list[str], everyone: int) -> str:
    # PPO alone does not log through the loop of the transformers Trainer.
    if len(algorithms) == everyone:
        return "all"
    if len(algorithms) == everyone - 1 and "ppo" not in algorithms:
        return "all but ppo"
    return ", ".join(algorithms)


PAGES: dict[str, Callable[[], str]] = {"docs/metrics.md": render_metrics}


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the pages, or with --check only compare them; the result is the exit code."""
    parser = argparse.ArgumentParser(description="Generate the pages of docs/ made from tables.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(None if arguments is None else list(arguments))
    stale = False
    for name, render in PAGES.items():
        path, text = ROOT / name, render()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            stale = True
            print(f"{name} is stale: run python scripts/generate_docs.py", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
