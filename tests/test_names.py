"""The names of the package and the length of its modules; option texts that stop in mid-sentence."""

import ast
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "rldk"
METAPHORS = {
    *("beside", "board", "choosing", "death", "journal", "outlook", "place", "showing", "speech"),
    *("standstill", "story", "surroundings", "tell", "teller", "telling", "told", "wanted"),
}
SPOKEN = {"beside", "besides", "said", "told"}
"""Words that hide the actor of a sentence: report, record, log or ignore says who does what."""
PLAIN_PACKAGES = ("doctor", "health", "metrics", "schema")
"""Packages whose docstrings become documentation pages, and whose messages users read."""
VAGUE = {"helper", "helpers", "manager", "misc", "util", "utils"}
ALLOWED_WORDS = {
    "tell": "a method of binary files; see `io.IOBase.tell`",
}
NOUNS = {
    "beginning": "a noun: how a run begins",
    "finding": "a noun: what a rule found",
    "overfitting": "the name of a rule",
    "recording": "a noun: the package that records",
    "testing": "a noun: helpers for tests, as in `numpy.testing`",
}
CONDITIONS = {
    "improving": "a condition of a reward, read as `if improving(reward)`",
}
SHARED_CLASS_NAMES = {
    "Options": "the thresholds of a rule, a class inside the class of the rule",
}
CONNECTIVES = {"which", "that", "whose", "who", "where", "when", "while", "than", "and", "or", "but"}
PREPOSITIONS = {"of", "from", "to", "for", "with", "by", "above", "below"}
OPENINGS = {"that", "which", "what", "to"}
"""A preposition may end what one of these begins: "the metric that the reward is a proxy of"."""


class Name(NamedTuple):
    """Something that the package names."""

    text: str
    kind: str
    where: str
    is_context_manager: bool = False


MOST_LINES = 500
"""A longer module has more than one reason to exist."""


def trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def names_in(tree, where):
    """Classes, top-level functions, and public methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield Name(node.name, "class", where)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            kind = "function" if node in tree.body else "method"
            decorators = {ast.unparse(one) for one in node.decorator_list}
            yield Name(node.name, kind, where, "contextmanager" in decorators)


def names():
    for folder in sorted(path.parent for path in PACKAGE.rglob("__init__.py")):
        yield Name(folder.name, "module", str(folder))
    for path, tree in trees():
        where = str(path.relative_to(PACKAGE))
        if path.stem != "__init__":
            yield Name(path.stem, "module", where)
        yield from names_in(tree, where)


def words_of(name):
    """`RunState` and `run_state` as their words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def forbidden_words(name):
    return {word for word in words_of(name.text) if word in METAPHORS | VAGUE} - set(ALLOWED_WORDS)


def spoken_lines(source):
    """Each line with a spoken word, in an identifier, a string or a comment, by its number."""
    lines = enumerate(source.splitlines(), 1)
    return {number: line.strip() for number, line in lines if SPOKEN & set(words_of(line))}


def is_bare_participle(name):
    """Whether one participle is the whole name.

    A function may be called as `sorted` is, after what became of its argument, and a context manager as
    `contextlib.closing` is.
    """
    word, *others = words_of(name.text)
    if others or name.kind == "method" or name.is_context_manager or word in NOUNS | CONDITIONS:
        return False
    endings = ("ing",) if name.kind == "function" else ("ing", "ed")
    return len(word) > 4 and word.endswith(endings)


def option_texts():
    """The docstring of each option of a rule and of a run, and each `help` of the commands."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Options", "Settings")):
                for field, text in pairwise(node.body):
                    if isinstance(field, ast.AnnAssign) and is_text(text):
                        yield f"{path.name}: {ast.unparse(field.target)}", text.value.value
            elif isinstance(node, ast.keyword) and node.arg == "help" and is_text(node):
                yield f"{path.name}: {node.value.lineno}", node.value.value


def is_text(node):
    """Whether the value of a statement, or of an argument, is a text."""
    return isinstance(getattr(getattr(node, "value", None), "value", None), str)


def stops_in_mid_sentence(text):
    for sentence in re.split(r"[.;:](?:\s|$)", text):
        *before, last = re.sub(r"[,()]", "", sentence).lower().split() or [""]
        if last in CONNECTIVES or (last in PREPOSITIONS and not OPENINGS & set(before)):
            return True
    return False


def test_no_name_is_a_metaphor_or_says_nothing():
    assert [name for name in names() if forbidden_words(name)] == []


def test_no_module_class_or_function_is_a_bare_participle():
    assert [name for name in names() if is_bare_participle(name)] == []


def test_no_two_classes_have_one_name():
    counts = Counter(name.text for name in names() if name.kind == "class")
    assert {name for name, count in counts.items() if count > 1} <= set(SHARED_CLASS_NAMES)


def test_each_exception_is_still_needed():
    words = {word for name in names() for word in words_of(name.text)}
    assert set(ALLOWED_WORDS) | set(NOUNS) | set(CONDITIONS) <= words


def test_no_module_is_longer_than_one_can_read():
    lines = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_no_option_text_stops_in_mid_sentence():
    texts = list(option_texts())
    assert len(texts) > 200
    assert [where for where, text in texts if stops_in_mid_sentence(text)] == []


@pytest.mark.parametrize("package", PLAIN_PACKAGES)
def test_no_line_has_a_word_that_hides_its_actor(package):
    paths = sorted((PACKAGE / package).rglob("*.py"))
    assert paths
    found = {path.name: spoken_lines(path.read_text()) for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    ["told = 3", "    what_is_said()", "# It lies beside it.", 'f"{name} is told"', "class ToldTwice: ..."],
)
def test_a_spoken_word_is_found_in_names_strings_and_comments(line):
    assert list(spoken_lines(f"import ast\n{line}\n")) == [2]


@pytest.mark.parametrize("line", ["saidi = 1", "# foretold", 'folder = "tolds"', "aside = None"])
def test_a_word_that_only_holds_a_spoken_one_is_no_such_word(line):
    assert spoken_lines(line) == {}


@pytest.mark.parametrize("text", ["RunManager", "board", "telling_helpers", "_Told", "tests_beside"])
def test_a_forbidden_word_is_found_inside_a_name(text):
    assert forbidden_words(Name(text, "class", "x.py"))


@pytest.mark.parametrize("text", ["onboarding", "RunListing", "replacement", "tells"])
def test_a_word_that_only_holds_one_is_no_forbidden_word(text):
    assert not forbidden_words(Name(text, "class", "x.py"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (Name("Measured", "class", ""), True),
        (Name("choosing", "module", ""), True),
        (Name("listing", "function", ""), True),
        (Name("RunListing", "class", ""), False),
        (Name("merged", "function", ""), False),
        (Name("replacing", "function", "", is_context_manager=True), False),
        (Name("Finding", "class", ""), False),
    ],
)
def test_bare_participles_are_told_from_nouns(name, expected):
    assert is_bare_participle(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Share of completions below which.", True),
        ("Records in a row, and", True),
        ("The loss is lower than.", True),
        ("What the share is of; a number from.", True),
        ("The metric that the reward is a proxy of.", False),
        ("Rules to judge by; None: all.", False),
        ("Distance of the accuracy from 0.5.", False),
        ("Share of completions that hold an end token, which proves it.", False),
        ("Records from which on it is said.", False),
    ],
)
def test_texts_that_stop_in_mid_sentence_are_found(text, expected):
    assert stops_in_mid_sentence(text) is expected
