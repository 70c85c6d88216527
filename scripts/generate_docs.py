"""Writes the pages of docs/ that are made from tables in the code; they are never edited by hand.

`python scripts/generate_docs.py` writes the pages that changed; with `--check` it writes nothing,
names the pages that are stale, and exits 1 if there are any.
"""

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import cast

import click

ROOT = Path(__file__).resolve().parent.parent
# So that the pages come from this checkout and not from an rldk that happens to be installed.
sys.path.insert(0, str(ROOT / "src"))

from rldk.cli import main as main_command  # noqa: E402
from rldk.health import RULES, Rule  # noqa: E402
from rldk.integrations.loop import record  # noqa: E402
from rldk.metrics import METRICS  # noqa: E402
from rldk.metrics.dialects import COMMON, Dialect  # noqa: E402
from rldk.metrics.dialects.detect import DIALECTS  # noqa: E402
from rldk.metrics.dialects.ms_swift import MS_SWIFT  # noqa: E402
from rldk.metrics.dialects.trl import TRL, TRL_0  # noqa: E402
from rldk.report.rule_page import as_markdown, index_markdown  # noqa: E402
from rldk.schema import event  # noqa: E402
from rldk.schema.event import json_schema  # noqa: E402

NOTICE = "<!-- Made by scripts/generate_docs.py. Change the tables in src/rldk, not this page. -->"
EVENT_PARTS = {"Top level": "Event", "rng": "Rng", "data_slice": "DataSlice", "model_info": "ModelInfo"}
EVENT_INTRODUCTION = f"""\
One line of `{{run_id}}_events.jsonl`: what the trainer logged at once, with the state behind it.
Strict JSON in UTF-8, with the keys in the order of this page.
This is version {event.SCHEMA_VERSION} of the schema.
The same as JSON Schema: [event.schema.json](event.schema.json), or `rldk validate --schema`.
"""
FILES_PAGE = "docs/files.md"
FIELDS = re.compile(r"(<!-- fields of (rldk\.schema\.\S+) -->)\n.*?(<!-- to here -->)", re.DOTALL)
OWN_LOOP_PAGE = "docs/own_loop.md"
OWN_LOOP_PARTS = re.compile(r"(<!-- (dialects|arguments) -->)\n.*?(<!-- to here -->)", re.DOTALL)
IN_MEMORY = {"recorded"}
"""Fields of structs that no file holds."""
PLAIN_TYPES = (
    (r"\blist\[Any\]", "array"),
    (r"\blist\[tuple\[(\w+), (\w+)\]\]", r"array of [\1, \2]"),
    (r"\b(?:tuple\[(\w+), \.\.\.\]|list\[(\w+)\])", lambda found: f"array of {found[1] or found[2]}"),
    (r"\b(?:dict|Mapping)\[str, Any\]", "object"),
    (r"Literal\[(.+?)\]", lambda found: found[1].replace("'", '"').replace(", ", " or ")),
)
"""What a type is called in JSON; the patterns are those of Python's words for it."""
READ = [f"{dialect.title} {dialect.version}" for dialect in DIALECTS.values() if dialect.version]
METRICS_INTRODUCTION = f"""\
# Metrics

One quantity has one name, whichever trainer logged it; different quantities have different names.
A key that is in no table keeps the name that the trainer gave it.
The metrics of an evaluation carry the prefix `eval_` before the canonical name.

A meaning describes the value for one batch.
Unless it says otherwise, the logged value is the mean over the batches since the last record, across all
processes.
The direction is where a healthy run should move the metric; a dash means neither way.
The meanings come from the sources of {", ".join(READ[:-1])} and {READ[-1]}.

A name with a slash is a trainer's own key, kept because no other quantity is quite the same.
A part in braces stands for any text.
Keys without a framework's name are TRL's keys, with the trainers that log them.
ms-swift logs the keys of TRL and its own.
OpenRLHF has `train/` before each key in W&B and TensorBoard.
"""
RULES_INTRODUCTION = """\
# The rules

What `rldk doctor` looks for, and what rldk watches while a run trains.
Each page says how the rule decides, what looks alike but is healthy, and what to do.
The pictures show runs of the [labelled set](../../benchmarks/detection/README.md).
`rldk rules NAME` prints a page; `--select` and `--ignore` take names, codes and families (`OPT`).
"""
RULES_FOLDER = "docs/rules"
PICTURES = "docs/images/rules"
NO_RUN = "No labelled run shows it."


def render_metrics() -> str:
    """Every canonical metric, and the keys of each framework that hold it."""
    sources = _sources({"": TRL, "TRL < 1.0": TRL_0}, [d for d in DIALECTS.values() if d is not TRL])
    rows = [
        "| Metric | Unit | Direction | Meaning | Keys (trainers) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in METRICS.values():
        direction = "-" if metric.direction == "none" else metric.direction
        cells = (f"`{metric.name}`", metric.unit, direction, metric.meaning, sources[metric.name])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join((NOTICE, "", METRICS_INTRODUCTION, *rows, ""))


def _sources(generations: dict[str, Dialect], others: Iterable[Dialect]) -> dict[str, str]:
    """For each metric, the keys that hold it and who logs them; later generations add differences."""
    base = next(iter(generations.values()))
    found: dict[str, dict[tuple[str, str], list[str]]] = {name: {} for name in METRICS}
    for note, dialect in generations.items():
        for algorithm, names in dialect.tables.items():
            for key, name in names.items():
                if dialect is base or base.by_algorithm[algorithm].get(key) != name:
                    found[name].setdefault((key, note), []).append(algorithm)
    everyone = len(base.by_algorithm)
    sources = {
        name: [
            f"`{key}` ({_who(algorithms, everyone)}{', ' + note if note else ''})"
            for (key, note), algorithms in keys.items()
        ]
        for name, keys in found.items()
    }
    for dialect in others:
        for name, keys in _keys_by_name(dialect, base).items():
            sources[name].append(f"{dialect.title} {', '.join(keys)}")
    return {name: "; ".join(keys) for name, keys in sources.items()}


def _keys_by_name(dialect: Dialect, base: Dialect) -> dict[str, list[str]]:
    """The keys of a dialect for each metric, with their algorithms where not all have them.

    Without the keys of ms-swift that TRL has, and the second form of a key, with `train/` before it.
    """
    logged: dict[tuple[str, str], list[str]] = {}
    for algorithm, names in dialect.tables.items():
        inherited = base.by_algorithm.get(algorithm, {}) if dialect is MS_SWIFT else {}
        for key, name in names.items():
            second_form = key.startswith("train/") and key.removeprefix("train/") in names
            if inherited.get(key) != name and not second_form:
                logged.setdefault((key, name), []).append(algorithm)
    found: dict[str, list[str]] = {}
    for (key, name), algorithms in logged.items():
        who = "" if COMMON in algorithms else f" ({', '.join(algorithms)})"
        found.setdefault(name, []).append(f"`{key}`{who}")
    return found


def _who(algorithms: list[str], everyone: int) -> str:
    # PPO alone does not log through the loop of the transformers Trainer.
    if len(algorithms) == everyone:
        return "all"
    if len(algorithms) == everyone - 1 and "ppo" not in algorithms:
        return "all but ppo"
    return ", ".join(algorithms)


def render_schema() -> str:
    """The JSON Schema of an Event."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def render_event() -> str:
    """Each field of an Event, with its type and its docstring."""
    lines = [NOTICE, "", "# The Event", "", EVENT_INTRODUCTION]
    for title, kind in EVENT_PARTS.items():
        struct = getattr(event, kind)
        lines += [f"## {title}", "", inspect.cleandoc(struct.__doc__), "", _field_table(struct), ""]
    return "\n".join(lines)


def render_files() -> str:
    """The page of the files, whose tables between marks are made from the structs that the marks name."""
    text = (ROOT / FILES_PAGE).read_text(encoding="utf-8")
    return FIELDS.sub(lambda mark: f"{mark[1]}\n\n{_field_table(_struct(mark[2]))}\n\n{mark[3]}", text)


def _struct(path: str) -> type:
    module, _, name = path.rpartition(".")
    return cast("type", getattr(import_module(module), name))


def _field_table(struct: type) -> str:
    """The fields of a struct of `rldk.schema`: name, type and docstring; properties are no fields."""
    lines = ["| field | type | meaning |", "| --- | --- | --- |"]
    (definition,) = ast.parse(inspect.getsource(struct)).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, text in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(text, ast.Expr):
            continue
        if ast.unparse(field.target) not in IN_MEMORY:
            meaning = _in_json(_one_line(ast.literal_eval(text.value)))
            name, kind = ast.unparse(field.target), _plain_type(ast.unparse(field.annotation))
            lines.append(f"| `{name}` | `{kind}` | {meaning} |")
    return "\n".join(lines)


def render_callback() -> str:
    """The arguments of RLDKCallback, from its docstring."""
    from rldk.integrations.trl import RLDKCallback

    text = inspect.cleandoc(RLDKCallback.__doc__ or "")
    about, _, rest = text.partition("\nArgs:\n")
    arguments, _, rest = rest.partition("\nRaises:\n")
    raises, _, rest = rest.partition("\nEnvironment:\n")
    environment, _, example = rest.partition("\nExample:\n")
    rows = ["| argument | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, kind, default, meaning in re.findall(
        r"^    (\w+) \((.+?), \*optional\*(?:, defaults to (.+?))?\):\n((?:        .+\n?)+)",
        arguments,
        re.MULTILINE,
    ):
        rows.append(f"| `{name}` | {kind} | {default or '`None`'} | {_one_line(meaning)} |")
    sections = [
        f"{NOTICE}\n\n# RLDKCallback",
        re.sub(r"\[`~([\w.]+)`\]", r"`\1`", about.strip()),
        "\n".join(rows),
        "It raises, when it is made:",
        _list(raises),
        "The environment wins over every argument:",
        _list(environment),
        inspect.cleandoc(example),
    ]
    return "\n\n".join(sections) + "\n"


def render_own_loop() -> str:
    """The page of own loops; between its marks the dialects, and the arguments as `record` documents them."""
    _, _, rest = inspect.cleandoc(record.__doc__ or "").partition("\nArgs:\n")
    arguments, _, _ = rest.partition("\nRaises:\n")
    rows = ["| argument | default | meaning |", "| --- | --- | --- |"]
    for name, meaning in re.findall(r"^    (\w+): (.+(?:\n        .+)*)", arguments, re.MULTILINE):
        default = inspect.signature(record).parameters[name].default
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        text = re.sub(r"`docs/(\w+\.md)`", r"[\1](\1)", _one_line(meaning))
        rows.append(f"| `{name}` | `{shown}` | {text[0].upper()}{text[1:]} |")
    parts = {
        "dialects": f"The dialects are {', '.join(f'`{name}`' for name in DIALECTS)}.",
        "arguments": "\n" + "\n".join(rows) + "\n",
    }
    page = (ROOT / OWN_LOOP_PAGE).read_text(encoding="utf-8")
    return OWN_LOOP_PARTS.sub(lambda mark: f"{mark[1]}\n{parts[mark[2]]}\n{mark[3]}", page)


def render_cli() -> str:
    """The help of every command."""
    lines = [NOTICE, "", "# The commands", ""]
    for name, command in (("rldk", main_command), *sorted(main_command.commands.items())):
        path = name if name == "rldk" else f"rldk {name}"
        context = click.Context(command, info_name=path, terminal_width=90, **main_command.context_settings)
        lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def render_rules() -> str:
    """The table of the rules."""
    return "\n".join((NOTICE, "", RULES_INTRODUCTION, index_markdown(RULES)))


def render_rule(rule: type[Rule]) -> str:
    """The page of one rule: what its class says, its source, and the runs that `rule_pictures.py` chose."""
    source = Path(inspect.getfile(rule)).relative_to(ROOT).as_posix()
    head, _, rest = as_markdown(rule).partition("\n\n## ")
    about, _, advice = rest.partition("\n## What to do\n")
    return (
        f"{NOTICE}\n\n{head}\n- source: [{source}](../../{source})\n\n## {about}\n"
        f"## On labelled runs\n\n{_labelled_runs(rule)}\n\n## What to do\n{advice}"
    )


def _labelled_runs(rule: type[Rule]) -> str:
    captions = json.loads((ROOT / PICTURES / "captions.json").read_text(encoding="utf-8"))
    text = str(captions.get(rule.name, NO_RUN))
    if not (ROOT / PICTURES / f"{rule.name}.svg").exists():
        return text
    picture = f"../{PICTURES.removeprefix('docs/')}/{rule.name}.svg"
    return f"![{rule.name} on two labelled runs]({picture})\n\n{text}"


def _plain_type(annotation: str) -> str:
    """A type in the words of JSON."""
    words = _in_json(annotation).replace("Count", "int").replace("|", "or")
    for python, plain in PLAIN_TYPES:
        words = re.sub(python, plain, words)
    return words


def _in_json(text: str) -> str:
    """What Python calls None is null in the files that the page is about."""
    return re.sub(r"\bNone\b", "null", text)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _list(section: str) -> str:
    """The entries of a docstring section, one list item each."""
    items: list[str] = []
    for line in inspect.cleandoc(section).splitlines():
        if line.startswith((" ", "\t")) or not line:
            items[-1:] = [f"{items[-1]} {line.strip()}".rstrip()]
        else:
            items.append(line.removeprefix("- "))
    return "\n".join(f"- {item}" for item in items)


PAGES: dict[str, Callable[[], str]] = {
    "docs/callback.md": render_callback,
    "docs/cli.md": render_cli,
    "docs/event.md": render_event,
    "docs/event.schema.json": render_schema,
    FILES_PAGE: render_files,
    "docs/metrics.md": render_metrics,
    OWN_LOOP_PAGE: render_own_loop,
    f"{RULES_FOLDER}/index.md": render_rules,
    **{f"{RULES_FOLDER}/{rule.name}.md": partial(render_rule, rule) for rule in RULES},
}


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
    for path in sorted((ROOT / RULES_FOLDER).glob("*.md")):
        name = f"{RULES_FOLDER}/{path.name}"
        if name not in PAGES:  # a rule that is gone, or has another name now
            stale = stale or options.check
            print(f"{name} is the page of no rule", file=sys.stderr)
            if not options.check:
                path.unlink()
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
