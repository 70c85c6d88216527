"""The generated pages: nothing that rldk writes to a file is without a word."""

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import msgspec
import pytest

from rldk import schema
from rldk.health import RULES
from rldk.metrics.dialects import Dialect
from rldk.schema import event

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import generate_docs

ROOT = Path(__file__).parent.parent
BASES = {"Facts", "SlimEvent"}  # without a field; less than an Event
STRUCTS = [
    struct
    for module in pkgutil.iter_modules(schema.__path__)
    for struct in vars(importlib.import_module(f"rldk.schema.{module.name}")).values()
    if inspect.isclass(struct) and issubclass(struct, msgspec.Struct)
    if struct.__module__ == f"rldk.schema.{module.name}"
    if struct.__name__ not in BASES and not struct.__name__.startswith("_")
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_each_field_of_each_file_is_on_a_page_with_its_meaning(struct):
    page = "event.md" if struct.__module__ == event.__name__ else "files.md"
    rows = re.findall(r"^\| `(\w+)` \| `[^`]+` \| \S.* \|$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert set(struct.__struct_fields__) - generate_docs.IN_MEMORY <= set(rows)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_each_struct_has_a_table(struct):
    marks = re.findall(r"<!-- fields of (\S+) -->", (ROOT / "docs" / "files.md").read_text())
    path = f"{struct.__module__}.{struct.__name__}"
    assert path in marks or struct.__name__ in generate_docs.EVENT_PARTS.values()


def test_the_prose_between_the_tables_of_the_files_is_kept(monkeypatch, tmp_path):
    (tmp_path / "docs").mkdir()
    mark = "<!-- fields of rldk.schema.process.StepTime -->"
    (tmp_path / "docs" / "files.md").write_text(f"Before.\n\n{mark}\nstale\n<!-- to here -->\n\nAfter.\n")
    monkeypatch.setattr(generate_docs, "ROOT", tmp_path)
    page = generate_docs.render_files()
    assert page.startswith(f"Before.\n\n{mark}\n\n| field | type | meaning |\n")
    assert page.endswith("|\n\n<!-- to here -->\n\nAfter.\n")
    assert "| `cpu_seconds` | `float or null` |" in page
    assert "stale" not in page


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("int | None", "int or null"),
        ("list[Part]", "array of Part"),
        ("tuple[Attempt, ...]", "array of Attempt"),
        ("dict[str, Any]", "object"),
        ("Literal['info', 'warning']", '"info" or "warning"'),
    ],
)
def test_types_are_said_in_the_words_of_json(annotation, words):
    assert generate_docs._plain_type(annotation) == words


def test_each_rule_page_links_to_the_file_of_its_rule():
    for rule in RULES:
        page = ROOT / "docs" / "rules" / f"{rule.name}.md"
        (target,) = re.findall(r"^- source: \[.+\]\((.+)\)$", page.read_text(), re.MULTILINE)
        assert f"class {rule.__name__}(" in (page.parent / target).read_text()


def test_a_dialect_without_a_table_for_an_algorithm_is_on_the_page_of_the_metrics(monkeypatch):
    flat = Dialect("flat", {"my/kl": "kl_mean"}, title="FlatRL")
    monkeypatch.setattr(generate_docs, "DIALECTS", {**generate_docs.DIALECTS, "flat": flat})
    assert "FlatRL `my/kl`" in generate_docs.render_metrics()
