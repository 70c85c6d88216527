"""The examples of docstrings and of the pages of docs/ run: Python blocks, doctests and shell lines."""

import ast
import doctest
import inspect
import re
import shlex
import textwrap
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import own_loop
from events import event, record
from rldk.cli import main

ROOT = Path(__file__).parent.parent
TRAINING = ROOT / "docs" / "getting-started.md"  # test_docs.py runs it with a real trainer
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^ +(rldk [^\n]+)$", re.MULTILINE)


class Text(NamedTuple):
    """A docstring, or a page of docs/."""

    path: Path
    line: int
    text: str

    @property
    def module(self):
        """The module whose docstring it is; None for a page."""
        if self.path.suffix != ".py":
            return None
        parts = self.path.relative_to(ROOT / "src").with_suffix("").parts
        return import_module(".".join(parts).removesuffix(".__init__"))


class Trainer:
    """Stands for a trainer, which an example makes with `...` for what does not matter."""

    def __init__(self, *args, **kwargs):
        self.arguments = args, kwargs

    def train(self):
        pass


def texts():
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
                yield Text(path, node.lineno, inspect.cleandoc(node.value.value))
    for path in sorted({*(ROOT / "docs").rglob("*.md")} - {TRAINING}):
        yield Text(path, 1, path.read_text())


def name_of(text):
    return f"{text.path.relative_to(ROOT).as_posix()}:{text.line}"


def having(pattern):
    return [pytest.param(text, id=name_of(text)) for text in texts() if re.search(pattern, text.text)]


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What examples may use without saying where it comes from; their folder holds a run and a log."""
    monkeypatch.chdir(tmp_path)
    events = [event(step, loss=1.0 / step, reward_mean=0.01 * step) for step in range(1, 11)]
    record(tmp_path / "rldk_logs", events, "my_run")
    history = [{"step": step, "loss": 1.0 / step, "reward": 0.01 * step} for step in range(1, 11)]
    (tmp_path / "loss.txt").write_text("1 0.5\n2 0.25\n")
    (log,) = re.findall(r"(?s)```text\n(.*?)```", (ROOT / "docs" / "own_logs.md").read_text())
    (tmp_path / "toyrl.log").write_text(log)
    (tmp_path / "output").mkdir()
    state = f'{{"global_step": 10, "log_history": {history}}}'.replace("'", '"')
    for folder in (tmp_path, tmp_path / "output"):
        (folder / "trainer_state.json").write_text(state)
    return {
        **own_loop.NAMES,
        "GRPOTrainer": Trainer,
        "accuracy": lambda completions, **_: [1.0] * len(completions),
        "format": lambda completions, **_: [0.5] * len(completions),
    }


def scope(text, names):
    """An example may use what stands in its module, as a doctest may."""
    return {**(vars(text.module) if text.module else {}), **names}


@pytest.mark.parametrize("text", having(BLOCK))
def test_python_blocks_run(text, names):
    session = scope(text, names)  # a block may use what those before it on its page made
    for _, block in BLOCK.findall(text.text):
        exec(compile(textwrap.dedent(block), name_of(text), "exec"), session)


@pytest.mark.parametrize("text", having(r"(?m)^ *>>> "))
def test_doctests_hold(text, names):
    test = doctest.DocTestParser().get_doctest(
        text.text, scope(text, names), name_of(text), str(text.path), text.line
    )
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def shell_lines():
    for text in texts():
        if text.path.is_relative_to(ROOT / "src" / "rldk" / "cli"):
            _, _, examples = text.text.partition("Examples:")
            yield from SHELL.findall(examples)


@pytest.mark.parametrize("line", shell_lines())
def test_shell_lines_of_the_commands_name_options_that_exist(line):
    _, name, *arguments = shlex.split(re.split(r" [|>] ", line)[0])
    command = main.commands[name]
    assert command.make_context(name, arguments).params


def test_examples_are_found():
    assert {"src/rldk/integrations/trl/callback.py", "src/rldk/integrations/trl/rewards.py"} <= {
        one.id.partition(":")[0] for one in having(BLOCK)
    }
    assert having(r"(?m)^ *>>> ")
    assert len(list(shell_lines())) > 15
