"""The documentation page of a rule: its docstring, its options, its needs.

Invariant: the class alone determines the page, so that every new rule has a page.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from rldk.health import Rule

__all__ = ["Option", "as_markdown", "index_markdown", "options", "properties", "row", "sections"]

WHEN_OVER = {
    "keep": "it keeps its severity",
    "info": "downgraded to info",
    "forget": "dropped",
}


class Option(msgspec.Struct, frozen=True):
    """A threshold of a rule."""

    name: str
    """Name in `--threshold rule.name=value`."""
    kind: str
    """Type."""
    default: str
    """Default value, as Python writes it."""
    meaning: str
    """Docstring of the option; empty if the source of the rule is not installed."""


def options(rule: type[Rule]) -> list[Option]:
    """The thresholds of a rule, as its class lists them."""
    meanings = _meanings(rule)
    return [
        Option(field.name, _type_name(field.type), repr(field.default), meanings.get(field.name, ""))
        for field in msgspec.structs.fields(rule.Options)
    ]


def _type_name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _meanings(rule: type[Rule]) -> dict[str, str]:
    """The docstring under each option."""
    try:
        source = textwrap.dedent(inspect.getsource(rule.Options))
    except (OSError, TypeError):  # installed without its source
        return {}
    (body,) = [node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[ast.unparse(field.target)] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def sections(rule: type[Rule]) -> list[tuple[str, str]]:
    """The titles of the page with their texts; the first has no title."""
    found = [("", "")]
    for line in rule.page().splitlines():
        if line.startswith("## "):
            found.append((line.removeprefix("## ").strip(), ""))
        else:
            title, text = found[-1]
            found[-1] = (title, f"{text}{line}\n")
    return [(title, text.strip("\n")) for title, text in found]


def properties(rule: type[Rule]) -> list[tuple[str, str]]:
    """The properties of a rule, as pairs of a title and a text."""
    algorithms = "all" if rule.algorithms is None else ", ".join(sorted(rule.algorithms))
    needs = "; ".join(" or ".join(need.split("|")) for need in rule.needs)
    rows = [("severity", f"up to {rule.severity.word}"), ("algorithms", algorithms)]
    if rule.kinds == ("end",):
        rows.append(("needs", "the files of a run that rldk recorded"))
    elif rule.phases:
        rows.append(("needs", needs or "any record"))
    else:
        rows.append(("needs", "only the configuration"))
    if rule.enable:
        rows.append(("to enable", rule.enable))
    lasting = f"; if {rule.lasting}, {WHEN_OVER['keep']}" if rule.lasting else ""
    rows.append(("when it stops", WHEN_OVER[rule.when_over] + lasting))
    if rule.explained_by:
        rows.append(("explained by", ", ".join(rule.explained_by)))
    return rows


def row(rule: type[Rule]) -> dict[str, object]:
    """A rule as `rldk rules --format json` prints it."""
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.word,
        "summary": rule.summary(),
        "needs": list(rule.needs),
        "explained_by": list(rule.explained_by),
        "algorithms": None if rule.algorithms is None else sorted(rule.algorithms),
        "options": {field.name: field.default for field in msgspec.structs.fields(rule.Options)},
    }


def as_markdown(rule: type[Rule]) -> str:
    """The page as docs/rules/ has it."""
    lines = [f"# {rule.name} ({rule.code})", "", *_paragraphs(sections(rule)[0][1]), ""]
    marked = {"needs": _code, "explained by": _links}
    lines += [f"- {word}: {marked.get(word, str)(value)}" for word, value in properties(rule)]
    for title, text in sections(rule)[1:]:
        lines += ["", f"## {title}", "", *_paragraphs(text)]
    chosen = options(rule)
    if chosen:
        lines += [
            "",
            "## Thresholds",
            "",
            "| option | type | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for option in chosen:
            meaning = option.meaning.replace("|", "\\|")
            lines.append(f"| `{option.name}` | {option.kind} | `{option.default}` | {meaning} |")
        example = f"{rule.name}.{chosen[0].name}={chosen[0].default}"
        lines += ["", f"To set a threshold: `rldk doctor RUN --threshold {example}`"]
    return "\n".join(lines) + "\n"


def index_markdown(rules: Iterable[type[Rule]]) -> str:
    """The table of all rules, each a link to its page."""
    lines = ["| code | rule | up to | finds |", "| --- | --- | --- | --- |"]
    for rule in rules:
        summary = rule.summary().replace("|", "\\|")
        lines.append(f"| {rule.code} | [{rule.name}]({rule.name}.md) | {rule.severity.word} | {summary} |")
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> list[str]:
    return text.splitlines()


def _code(names: str) -> str:
    """Metrics as code: a `*` in a name is no emphasis."""
    return "; ".join(" or ".join(_one(name) for name in need.split(" or ")) for need in names.split("; "))


def _links(rules: str) -> str:
    """The names of rules, each a link to its page in the same folder."""
    return ", ".join(f"[{name}]({name}.md)" for name in rules.split(", "))


def _one(name: str) -> str:
    return name if " " in name else f"`{name}`"
