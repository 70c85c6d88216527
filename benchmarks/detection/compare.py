"""rldk and the peers on the same runs: `python benchmarks/detection/compare.py [--markdown PAGE]`.

rldk is run here, the peers are read from `verdicts/` (`peers.py`), all are scored by `score.py`. `--markdown`
writes the table between the marks of docs/detection.md and touches nothing else there. All doctors share the
denominators: a failure in a run that one cannot read is not named by it. What the table of names makes
several rules of stays one finding: on a healthy run it is no false alarm if one of them is true of the run.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import msgspec
from peers import ABOUT, PACKAGES, VERDICTS
from rich.console import Console
from rich.progress import track
from score import CORPUS, LARGEST_SOURCE, Labelled, Said, Scored, ask_rldk, corpus, into, labelled_set, score

MARK = "compare.py"
Verdicts = dict[str, list[Said] | None]


def parts(runs: list[Labelled]) -> dict[str, list[Labelled]]:
    """The rows of the table, without those that hold nothing here."""
    public = [run for run in runs if run.kind == "corpus"]
    rows = {
        "trained set": [run for run in runs if run.kind == "trained"],
        "simulated series": [run for run in runs if run.kind == "simulated"],
        "public logs": public,
        f"public logs without {LARGEST_SOURCE}": [run for run in public if run.group != LARGEST_SOURCE],
    }
    return {title: of_part for title, of_part in rows.items() if of_part}


def with_benefit_of_doubt(run: Labelled, said: list[Said] | None) -> list[Said] | None:
    """What a peer said, of a healthy run without the meanings of a finding beside one that is true of it.

    A finding is a name of theirs up to the colon: what stands after it shares one severity.
    """
    if said is None or run.verdict == "ill":
        return said
    excused = {one.theirs.partition(":")[0] for one in said if one.rule in run.also_true}
    return [one for one in said if one.rule in run.also_true or one.theirs.partition(":")[0] not in excused]


def table(rows: dict[str, list[Labelled]], outcomes: dict[str, dict[str, Scored]]) -> str:
    """Each doctor on each part, in Markdown."""
    lines = [
        "| runs | doctor | named | wrong cause | missed | false alarms | not read |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, of_part in rows.items():
        ill = [run.name for run in of_part if run.verdict == "ill"]
        well = [run.name for run in of_part if run.verdict in ("healthy", "arguable")]
        for doctor, scored in outcomes.items():
            failures = Counter(scored[name].outcome for name in ill)
            alarms = Counter(scored[name].outcome for name in well)
            cells = (
                title,
                doctor,
                f"{failures['named']} of {len(ill)}",
                failures["wrong cause"],
                failures["missed"],
                f"{alarms['false alarm']} of {len(well)}",
                failures["not read"] + alarms["not read"],
            )
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def only_they(runs: list[Labelled], outcomes: dict[str, dict[str, Scored]]) -> str:
    """Per peer, the failures that it names and rldk does not."""
    lines = []
    for doctor in list(outcomes)[1:]:
        names = [
            f"{run.name} ({outcomes[doctor][run.name].by})"
            for run in runs
            if outcomes[doctor][run.name].outcome == "named" and outcomes["rldk"][run.name].outcome != "named"
        ]
        lines.append(f"- {doctor}: {', '.join(names) or 'none'}")
    return "Failures that a peer names and rldk does not:\n\n" + "\n".join(lines)


def nobody(runs: list[Labelled], outcomes: dict[str, dict[str, Scored]]) -> str:
    """The faults that rldk names in a run and no peer in any."""
    ours: dict[str, bool] = {}
    for run in runs:
        if run.kind != "corpus" and run.verdict == "ill":
            theirs = any(outcomes[peer][run.name].outcome == "named" for peer in list(outcomes)[1:])
            ours[run.group] = ours.get(run.group, True) and not theirs
    alone = [group for group, only_us in ours.items() if only_us]
    return (
        f"Faults of the set that no peer names in any run, {len(alone)} of {len(ours)}: {', '.join(alone)}."
    )


def main() -> None:
    """Ask rldk, read the others, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of INDEX.csv and files/")
    parser.add_argument("--markdown", type=Path, help="page to put the table into, between its marks")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what each said of each run")
    options = parser.parse_args()
    runs = [*labelled_set(), *(corpus(options.corpus) if options.corpus.is_dir() else ())]
    verdicts: dict[str, Verdicts] = {
        peer: msgspec.json.decode((VERDICTS / f"{peer}.json").read_bytes(), type=Verdicts)
        for peer in PACKAGES
    }
    for peer, verdict in verdicts.items():
        missing = [run.name for run in runs if run.name not in verdict]
        if missing:
            print(f"{peer} was not asked about {', '.join(missing)}: run peers.py again", file=sys.stderr)
    versions = json.loads(ABOUT.read_text())
    titles = {peer: f"{peer} {versions[peer]['versions'][peer]}" for peer in PACKAGES}
    outcomes: dict[str, dict[str, Scored]] = {"rldk": {}} | {title: {} for title in titles.values()}
    for run in track(runs, "judging", console=Console(stderr=True)):
        said, steps = ask_rldk(run)
        outcomes["rldk"][run.name] = score(run, said, steps)
        for peer, title in titles.items():
            theirs = with_benefit_of_doubt(run, verdicts[peer].get(run.name))
            outcomes[title][run.name] = score(run, theirs, steps)
        if options.verbose and run.verdict != "unscored":
            ones = {doctor: scored[run.name] for doctor, scored in outcomes.items()}
            told = [f"{doctor}: {one.outcome} {one.by}".rstrip() for doctor, one in ones.items()]
            print(" | ".join([f"{run.name} ({run.verdict})", *told]))
    text = "\n\n".join((table(parts(runs), outcomes), only_they(runs, outcomes), nobody(runs, outcomes)))
    print(text)
    if options.markdown:
        into(options.markdown, MARK, text)


if __name__ == "__main__":
    main()
