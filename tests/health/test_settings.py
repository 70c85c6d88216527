"""Settings: the thresholds that the documentation names are thresholds that the rules have."""

import ast
import re
from pathlib import Path

import pytest

from rldk.health.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")))
_RULE = r'"[\w-]+": \{"\w+": [^{}]+\}'
MAPPING = re.compile(rf"\{{{_RULE}(?:,\s+{_RULE})*\}}")
ASSIGNMENT = re.compile(r"--threshold ([\w-]+)\.(\w+)=(-?\d[\d.e-]*|True|False)")


def examples_in(text):
    """The thresholds that a text sets, as `alert_thresholds` and as `--threshold` do."""
    mappings = [ast.literal_eval(found) for found in MAPPING.findall(text)]
    assignments = ASSIGNMENT.findall(text)
    return [*mappings, *({rule: {name: ast.literal_eval(value)}} for rule, name, value in assignments)]


EXAMPLES = [
    pytest.param(example, id=f"{page.relative_to(ROOT).as_posix()} {example}")
    for page in PAGES
    for example in examples_in(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_thresholds_that_pages_and_docstrings_name_are_accepted(example):
    Settings(thresholds=example).check()


def test_the_examples_of_pages_and_docstrings_are_found():
    sources = {str(example.id).partition(" ")[0] for example in EXAMPLES}
    assert {"docs/callback.md", "docs/doctor.md", "src/rldk/integrations/trl/callback.py"} <= sources
