"""Scores rldk on the labelled set, the wide set, and on the corpus of public logs where it is at hand.

`python benchmarks/detection/score.py [--only KIND...] [--corpus FOLDER] [--markdown FILE] [-v]`. Exits 1 if
rldk misses a failure of the trained set or gives a false alarm on it. `compare.py` scores other doctors
likewise.

A run is *named* if a rule of its label's `expected` is found at the label's level (at info, if it rises no
higher); *wrong cause* if only others are found at warning or above; *missed* if nothing is. A *false alarm*
is a finding at warning or above on a healthy run. Delay is counted in train records from the onset to the
first report of the right cause.
"""

import argparse
import csv
import gzip
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.progress import track

from rldk.errors import RLDKError
from rldk.health import RULES, Severity, diagnose
from rldk.runs import open_run

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent.parent.parent / "shared" / "corpus"
WIDE = HERE / "wide"
KINDS = {
    "trained": ("trained set", "Trained faults"),
    "simulated": ("simulated series", "Simulated series"),
    "wide": ("wide set", "The wide set"),
    "state": ("wide set, `trainer_state.json`", "The wide set by its `trainer_state.json`"),
    "corpus": ("public logs", "Public logs by source"),
}
"""Kinds of runs: as they stand in the summary, and above their table."""
NOT_IN_A_STATE = frozenset(
    {
        "low-lora-rate",
        "few-generations",
        "masked-truncation",
        "sampling-temperature",
        "crash",
        "eos-never-learned",
        "resume-jump",
    }
)
"""Rules that need the configuration or the end of the process, which a `trainer_state.json` does not hold."""
LARGEST_SOURCE = "Sunshine535"
SEVERITIES = ("info", "warning", "critical")
INFORMATION = {rule.name for rule in RULES if rule.severity is Severity.INFO}


class Said(msgspec.Struct, frozen=True):
    """One finding of some doctor."""

    rule: str | None
    """Our name of it; None: the doctor means something for which we have no rule."""
    severity: str
    step: int | None = None
    """Where it was first reported; None where the doctor does not say."""
    theirs: str = ""
    """The doctor's own name."""


class Labelled(msgspec.Struct, frozen=True):
    """One run and what is true of it."""

    name: str
    kind: str
    """A name in `KINDS`."""
    group: str
    """Scenario, or the source of a public log."""
    path: Path
    verdict: str
    """`ill`, `healthy`, `arguable` (only alarms of `also_true` are right) or `unscored`."""
    expected: frozenset[str]
    also_true: frozenset[str]
    level: str
    onset: int
    abrupt: bool | None
    truth_metric: str | None


class Scored(msgspec.Struct, frozen=True):
    """A run and what a doctor made of it."""

    run: Labelled
    outcome: str
    """`named`, `wrong cause`, `missed`, `silent`, `false alarm`, `unscored` or `not read`."""
    by: str = ""
    """The rules that decided the outcome."""
    delay: int | None = None
    """Train records from the onset to the first report of the right cause."""


def labelled_set(folder: Path = HERE) -> Iterator[Labelled]:
    """The runs of a folder that holds `labels.json`."""
    for name, label in json.loads((folder / "labels.json").read_text()).items():
        yield Labelled(
            name,
            label["kind"],
            label["scenario"],
            folder / "runs" / name,
            label["verdict"],
            frozenset(label["expected"]),
            frozenset(label["also_true"]),
            label["level"],
            label["onset"],
            label["abrupt"],
            label["truth_metric"],
        )


def states(folder: Path, unpacked: Path) -> Iterator[Labelled]:
    """The same trainings, of which nothing but the `trainer_state.json` is known."""
    for run in labelled_set(folder):
        packed = run.path / "trainer_state.json.gz"
        path = unpacked / run.name / "trainer_state.json"
        if not packed.exists():
            continue
        path.parent.mkdir()
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        expected = run.expected - NOT_IN_A_STATE
        yield msgspec.structs.replace(
            run,
            kind="state",
            path=path,
            verdict="arguable" if run.expected and not expected else run.verdict,
            expected=expected,
            also_true=run.also_true | (run.expected - expected),
        )


def corpus(folder: Path) -> Iterator[Labelled]:
    """The public logs."""
    with (folder / "INDEX.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            scored = {"healthy": "healthy", "failure": "ill"}.get(row["scored_as"], "unscored")
            yield Labelled(
                row["id"],
                "corpus",
                row["source"].partition("/")[0],
                folder / row["file"],
                scored,
                frozenset(filter(None, row["expected_any"].split("|"))) if scored == "ill" else frozenset(),
                frozenset(filter(None, row["allowed"].split(";"))),
                "warning",
                int(row["onset"] or 0),
                None,
                None,
            )


def ask_rldk(run: Labelled) -> tuple[list[Said] | None, list[int]]:
    """What rldk says of a run, None where it cannot read it, and the steps of the train records.

    As of a live run: each rule counts with the highest severity that it alerted, though the diagnosis at the
    end may be milder because it is over; how the run ended counts too. Its step is that of the first alert at
    warning (of any, for what is information).
    """
    try:
        opened = open_run(run.path)
        settings = opened.settings()
        if run.truth_metric:
            settings = msgspec.structs.replace(settings, truth_metric=run.truth_metric)
        monitor = settings.monitor(opened.context())
        alerts = [(one.rule.name, one.verdict.severity, 0) for one in monitor.begin()]
        steps = []
        for at in opened.observations():
            alerts += [(one.rule.name, one.verdict.severity, at.step) for one in monitor.observe(at)]
            if at.kind == "log" and at.phase == "train":
                steps.append(at.step)
    except RLDKError:
        return None, []
    if monitor.failed:
        raise SystemExit(f"{run.name}: rules failed: {monitor.failed}")
    findings = {one.rule for one in diagnose(monitor).findings}
    said = []
    for name in dict.fromkeys(name for name, _, _ in alerts):
        worst = max(severity for rule, severity, _ in alerts if rule == name)
        if worst > Severity.INFO or name in findings:  # a plateau that ended is no finding
            at = next(step for rule, severity, step in alerts if rule == name and severity >= min(worst, 2))
            said.append(Said(name, worst.word, at))
    return said, steps


def score(run: Labelled, said: Iterable[Said] | None, steps: list[int]) -> Scored:
    """The outcome for one run."""
    if said is None:
        return Scored(run, "not read")
    said = list(said)
    alarms = [one for one in said if _at_least(one.severity, "warning")]
    if run.verdict == "unscored":
        return Scored(run, "unscored", _names(alarms))
    if run.verdict in ("healthy", "arguable"):
        false = [one for one in alarms if one.rule not in run.also_true]
        return Scored(run, "false alarm" if false else "silent", _names(false))
    right = [one for one in said if one.rule in run.expected and _at_least(one.severity, _level(run, one))]
    if right:
        first = min((one.step for one in right if one.step is not None), default=None)
        # An onset in the corpus is a record, in the set a step.
        onset = steps[min(run.onset, len(steps) - 1)] if run.kind == "corpus" and steps else run.onset
        delay = None if first is None else sum(onset <= step <= first for step in steps)
        return Scored(run, "named", _names(right), delay)
    return Scored(run, "wrong cause" if alarms else "missed", _names(alarms))


def _level(run: Labelled, said: Said) -> str:
    """The severity from which a rule counts: info for those that rise no higher."""
    return "info" if said.rule in INFORMATION else run.level


def _at_least(severity: str, level: str) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(level)


def _names(said: Iterable[Said]) -> str:
    return ", ".join(dict.fromkeys(one.rule or one.theirs for one in said))


def table(title: str, head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([*lines, ""])


def summary(scored: list[Scored]) -> str:
    """How many of each kind of run were judged how."""
    parts = {
        **{name: [one for one in scored if one.run.kind == kind] for kind, (name, _) in KINDS.items()},
        f"public logs without {LARGEST_SOURCE}": [
            one for one in scored if one.run.kind == "corpus" and one.run.group != LARGEST_SOURCE
        ],
    }
    rows = []
    for part, ones in parts.items():
        if not ones:
            continue
        count = Counter(one.outcome for one in ones)
        ill = count["named"] + count["wrong cause"] + count["missed"]
        well = count["silent"] + count["false alarm"]
        rows.append(
            (
                part,
                f"{count['named']} of {ill}",
                count["wrong cause"],
                count["missed"],
                f"{count['false alarm']} of {well}",
                count["not read"],
            )
        )
    return table("Summary", ["runs", "named", "wrong cause", "missed", "false alarms", "not read"], rows)


def by_group(scored: list[Scored], kind: str) -> str:
    """One line a scenario or a source."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        if one.run.kind == kind:
            groups[one.run.group].append(one)
    rows = []
    for group, ones in groups.items():
        outcomes = Counter(one.outcome for one in ones)
        delays = [one.delay for one in ones if one.delay is not None]
        by = ", ".join(dict.fromkeys(name for one in ones for name in one.by.split(", ") if name))
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        rows.append((group, len(ones), told, by, f"{median(delays):g}" if delays else ""))
    return table(KINDS[kind][1], ["fault", "runs", "outcome", "rules", "median delay, records"], rows)


def by_rule(scored: list[Scored]) -> str:
    """For each rule, on what it has been shown."""
    shown: dict[str, Counter[str]] = defaultdict(Counter)
    delays: dict[str, list[int]] = defaultdict(list)
    for one in scored:
        if one.outcome == "named" and one.run.kind != "state":  # the same trainings once more
            for name in one.by.split(", "):
                shown[name][one.run.kind] += 1
                if one.delay is not None:
                    delays[name].append(one.delay)
    false = Counter(
        name
        for one in scored
        if one.outcome == "false alarm" and one.run.kind != "state"
        for name in one.by.split(", ")
    )
    rows = []
    for rule in RULES:
        count = shown[rule.name]
        best = (
            "trained"
            if count["trained"] or count["wide"]
            else "simulated"
            if count["simulated"]
            else "not shown"
        )
        best += f", {count['corpus']} public" if count["corpus"] else ""
        delay = f"{median(delays[rule.name]):g}" if delays[rule.name] else ""
        rows.append((rule.code, rule.name, best, count.total(), false[rule.name], delay))
    head = ["code", "rule", "shown on", "runs named", "false alarms", "median delay, records"]
    return table("By rule", head, rows)


def remedies(said: dict[str, list[Said]]) -> str:
    """The doctor's verdict without and with the first remedy, for each ill trained run that has one."""
    rows = []
    for name, label in json.loads((HERE / "labels.json").read_text()).items():
        if label["verdict"] != "ill" or label["kind"] != "trained":
            continue
        cured = label["remedy_run"]
        if cured is None:
            if label["no_remedy"]:
                rows.append((name, _verdict(said.get(name)), label["no_remedy"], ""))
        else:
            rows.append((name, _verdict(said.get(name)), label["remedy"], _verdict(said.get(cured))))
    return table("Remedies", ["run", "without", "remedy", "with"], rows)


def _verdict(said: list[Said] | None) -> str:
    if said is None:
        return "not judged"
    worst = max((one.severity for one in said), key=SEVERITIES.index, default="healthy")
    alarms = _names(one for one in said if _at_least(one.severity, "warning"))
    return f"{worst}: {alarms}" if alarms else "healthy"


def into(page: Path, writer: str, text: str) -> None:
    """Put the text between the marks of a writer (a script's name) in a page."""
    begin, end = f"<!-- {writer} writes from here -->", "<!-- to here -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"{page} has not the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def abrupt_delay(scored: list[Scored]) -> str:
    """Median delay of the abrupt faults, and of the slow ones."""
    text = []
    for label, abrupt in (("abrupt", True), ("slow", False)):
        delays = [one.delay for one in scored if one.run.abrupt is abrupt and one.delay is not None]
        if delays:
            text.append(f"{label} faults: {median(delays):g} records (median of {len(delays)})")
    return "Delay from onset to alert, " + "; ".join(text) + ".\n" if text else ""


def main() -> int:
    """Score what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of INDEX.csv and files/")
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of runs; default: all"
    )
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, between its marks")
    parser.add_argument("-v", "--verbose", action="store_true", help="print each run that went wrong")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rldk-detection-") as unpacked:
        runs = [
            *labelled_set(),
            *labelled_set(WIDE),
            *states(WIDE, Path(unpacked)),
            *(corpus(options.corpus) if options.corpus.is_dir() else ()),
        ]
        return judge_all([run for run in runs if run.kind in options.only], options)


def judge_all(runs: list[Labelled], options: argparse.Namespace) -> int:
    """Ask, score, print; 1 if something of the trained set went wrong."""
    scored, read = [], {}
    for run in track(runs, "judging", console=Console(stderr=True)):
        said, steps = ask_rldk(run)
        if said is not None:
            read[run.name] = said
        scored.append(score(run, said, steps))
        if options.verbose and scored[-1].outcome in ("wrong cause", "missed", "false alarm"):
            print(run.name, "|", scored[-1].outcome, "|", scored[-1].by, "| expected", sorted(run.expected))
    kinds = [kind for kind in KINDS if any(run.kind == kind for run in runs)]
    tables = [*(by_group(scored, kind) for kind in kinds), by_rule(scored), remedies(read)]
    text = "\n".join(part for part in (summary(scored), abrupt_delay(scored), *tables) if part)
    print(text)
    if options.markdown:
        into(options.markdown, "score.py", text)
    bad = {"wrong cause", "missed", "false alarm", "not read"}
    return int(any(one.outcome in bad and one.run.kind == "trained" for one in scored))


if __name__ == "__main__":
    sys.exit(main())
