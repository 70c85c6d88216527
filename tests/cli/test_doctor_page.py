"""docs/doctor.md says what is so."""

import re
from pathlib import Path

import msgspec
from click.testing import CliRunner

from rldk.cli import main
from rldk.health import Finding, NotChecked
from rldk.health.normal import QUESTIONS
from stories import learning, write

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()


def test_the_object_shown_is_the_object_printed():
    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = msgspec.json.decode(block)
    assert list(shown) == ["rldk", "run", "status", "findings", "not_checked"]
    assert tuple(shown["findings"][0]) == Finding.__struct_fields__
    assert tuple(shown["not_checked"][0]) == NotChecked.__struct_fields__


def test_the_options_shown_are_taken(tmp_path):
    write(tmp_path, learning(30))
    lines = re.findall(r"^rldk doctor RUN (.+)$", PAGE, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        result = CliRunner().invoke(main, ["doctor", str(tmp_path), *line.split()])
        assert result.exit_code in (0, 1), result.output


def test_every_question_is_listed():
    assert re.findall(r"^\| (.+\?) \|", PAGE, re.MULTILINE) == [question.question for question in QUESTIONS]
