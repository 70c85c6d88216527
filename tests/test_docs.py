"""The README runs: its Python in order, in one session beside a real model; its shell lines after it."""

import ast
import copy
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from trl import GRPOConfig

import own_loop
import rldk
import tiny
from integrations import trainings
from rldk import Diagnosis, open_run
from rldk.cli import main
from rldk.integrations.trl import observe_rewards
from rldk.metrics.dialects.generic import GENERIC
from rldk.schema.event import decode
from sample_lines import recorded, write_samples
from stories import collapsing, write

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)
SHELL = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
ELSEWHERE = {"APPNOTE"}  # the specification of ZIP
INSTALLING = ("make ", "pip ")  # what .ci/run itself does
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
GETTING_STARTED = (ROOT / "docs" / "getting-started.md").read_text()
OWN_LOOP = (ROOT / "docs" / "own_loop.md").read_text()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The folder in which the README's Python has run."""
    folder = tmp_path_factory.mktemp("readme")
    names = {
        "model": tiny.save_model(folder / "model"),
        "reward_funcs": observe_rewards(tiny.letter_reward),
        "accuracy": tiny.letter_reward,
        "format": tiny.length_reward,
        "dataset": tiny.prompts(),
        **own_loop.NAMES,
        "args": GRPOConfig(
            output_dir=str(folder / "trainer"),
            max_steps=4,
            logging_steps=1,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            save_strategy="steps",
            save_steps=2,
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind, block in BLOCKS:
            if kind == "python":
                exec(compile(block, "README.md", "exec"), names)
    for step, shown in ((2, 400), (4, 500)):  # a run of 500 steps would take too long
        shutil.copytree(folder / "trainer" / f"checkpoint-{step}", folder / "output" / f"checkpoint-{shown}")
    return folder, names


@pytest.mark.training
def test_the_python_of_the_readme_records_and_reads_a_run(session):
    folder, names = session
    assert len(names["events"]) == 5
    assert names["rewards"].notna().sum() == 4
    trainings.settle()
    files = {path.name.removeprefix("my_run_") for path in (folder / "rldk_logs").glob("my_run_*")}
    listed = set(re.findall(r"^\| `my_run_(\S+)` \|", README, re.MULTILINE))
    assert files == listed - {"crash.txt"}


@pytest.mark.training
@pytest.mark.parametrize("line", [line for line in SHELL if not line.startswith(INSTALLING)])
def test_each_shell_line_of_the_readme_runs(session, line):
    folder, _ = session
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", f'PATH="{scripts}:$PATH"; {line}'],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    # A random model has a broken start and a tokenizer of one token too many, and no other finding.
    findings = line.startswith(("rldk doctor", "rldk checkpoint")) or "--finding" in line
    assert done.returncode in ((0, 1) if findings else (0,)), done.stderr
    if line.startswith("rldk export"):
        assert len((folder / "my_run.csv").read_text().splitlines()) == 6
    elif line.startswith("rldk checkpoint"):
        assert "checkpoint-500" in done.stdout
    elif "--finding" not in line:
        assert "my_run" in done.stdout or len(done.stdout.splitlines()) == 5


def test_the_python_of_the_page_on_own_loops_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(own_loop.NAMES)
    for block in re.findall(r"^```python\n(.*?)^```$", OWN_LOOP, re.MULTILINE | re.DOTALL):
        exec(compile(block, "own_loop.md", "exec"), names)
    trainings.settle()
    runs = {
        path.stem.removesuffix("_run"): open_run(path.parent / path.stem.removesuffix("_run"))
        for path in Path("rldk_logs").glob("*_run.json")
    }
    assert {name: run.info.end.how for name, run in runs.items()} == dict.fromkeys(
        ("my_loop", "with_evaluations", "with_samples", "in_a_notebook", "accelerated"), "completed"
    )
    assert [event.step for event in runs["my_loop"]] == [1, 2, 3, 4, 5, 6]


def test_the_page_on_own_loops_lists_every_argument_and_every_common_name():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", OWN_LOOP, re.MULTILINE)
    arguments = inspect.signature(rldk.record).parameters
    listed = {name: ast.literal_eval(value.strip("`")) for name, value in rows if name in arguments}
    assert listed == {name: one.default for name, one in arguments.items()}
    keys = {key: name for name, text in rows if name not in arguments for key in re.findall(r"`(.+?)`", text)}
    plain = {key: name for key, name in GENERIC.names.items() if not key.startswith(("train/", "eval/"))}
    assert keys == {key: name for key, name in plain.items() if key != name}


def test_the_event_shown_in_the_readme_is_an_event():
    (block,) = (block for kind, block in BLOCKS if kind == "json")
    event = decode(block)
    assert dict(event.nonfinite()).keys() == {name for name, value in event.metrics.items() if value is None}


def test_the_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", "\n".join(SHELL), re.MULTILINE))
    assert named == {"demo", "test"}
    assert named <= targets
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"^make ([a-z-]+)", contributing, re.MULTILINE)) <= targets


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an sdist holds no CI")
def test_ci_makes_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    lines = re.findall(r"^make (.+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    called = {word for line in lines for word in line.split() if word in targets}
    scheduled = re.search(r"target: \[(.*)\]", workflow)[1].split(", ")
    assert called == {"environments", "lint", "package", "test", "test-compat"}
    assert targets.issuperset(scheduled)
    assert "run: bash .ci/run\n" in workflow


def test_every_command_is_in_the_pages_of_the_documentation():
    page = (ROOT / "docs" / "cli.md").read_text()
    assert all(f"## rldk {name}\n" in page for name in main.commands)


def without_counts(text):
    """A text without what changes with every new rule."""
    return re.sub(r"\d+ rules not checked", "N rules not checked", text)


def test_the_page_for_python_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = write(tmp_path / "rldk_logs", collapsing(), "my_run")
    write_samples(files, recorded(200, "and so on", end="cut"))
    log = {"global_step": 2, "log_history": [{"step": 1, "my/score": 0.5}, {"step": 2, "my/score": 0.6}]}
    Path("trainer_state.json").write_text(json.dumps(log))
    names, shown = {"__name__": "python_page"}, ""
    for kind, block in BLOCK.findall((ROOT / "docs" / "python.md").read_text()):
        if kind == "python":
            exec(compile(block, "python.md", "exec"), names)
            shown = capsys.readouterr().out
        else:
            assert without_counts(block) in without_counts(shown)
    assert names["failed"]
    assert names["best"] == names["table"]["step"][names["table"]["reward_mean"].argmax()]


@pytest.mark.training
def test_getting_started_runs_from_top_to_bottom(session, tmp_path, monkeypatch):
    _, names = session
    monkeypatch.chdir(tmp_path)
    names = names | {"args": copy.copy(names["args"])}
    names["args"].output_dir = str(tmp_path / "trainer")
    shown = {}
    for kind, block in BLOCK.findall(GETTING_STARTED):
        if kind == "python":
            exec(compile(block, "getting-started.md", "exec"), names)
        for line in block.splitlines() if kind == "bash" else ():
            if not line.startswith(INSTALLING):
                done = CliRunner().invoke(main, shlex.split(line)[1:])
                assert done.exit_code in (0, 1 if line.startswith("rldk doctor") else 0), line
                shown[line] = done.output
        if kind == "text":
            assert shown["rldk doctor log.jsonl"].startswith(block)
    assert "entropy-collapse" in shown["rldk doctor log.jsonl"]
    assert "unknown    none" in shown["rldk info log.jsonl"]
    assert {"first_run", "first_loop"} <= set(re.findall(r"first_\w+", shown["rldk runs"]))
    assert isinstance(names["diagnosis"], Diagnosis)


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\(([\w/.-]+)[)#]", (ROOT / "docs" / "index.md").read_text()))
    pages = {path.name for path in (ROOT / "docs").glob("*.*")} | {"rules/index.md"}
    assert listed >= pages - {"index.md"}


def test_the_packages_of_the_architecture_are_the_layers_of_the_import_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [name.strip().removeprefix("rldk.") for layer in contract["layers"] for name in layer.split("|")]
    packages = [name for name in layers if (ROOT / "src" / "rldk" / name).is_dir()]
    assert re.findall(r'^    (\w+)\["\1: ', ARCHITECTURE, re.MULTILINE) == packages
    assert f"    {' --> '.join(packages)}\n" in ARCHITECTURE


def test_each_function_of_the_architecture_exists():
    rows = re.findall(r"^\| `([\w/]+\.py)` \| `([\w.]+)` \|", ARCHITECTURE, re.MULTILINE)
    assert len(rows) > 25
    for file, name in rows:
        names: set[str] = set()
        for node in ast.parse((ROOT / "src" / "rldk" / file).read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
                names.update(
                    f"{node.name}.{one.name}" for one in ast.iter_child_nodes(node) if hasattr(one, "name")
                )
        assert name in names, f"{file}: {name}"
    for path in re.findall(r"`([\w/]+/)`|`([\w/]+\.py)`", ARCHITECTURE):
        assert any((ROOT / where / "".join(path)).exists() for where in ("", "src/rldk")), path


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_pages_lead_somewhere():
    for page in [page for where in ("*.md", "docs/**/*.md", "examples/*/*.md") for page in ROOT.glob(where)]:
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            path = page.parent / target if target else page
            assert "://" in target or path.exists(), f"{page.name}: {target}"
            if anchor and path.suffix == ".md":
                assert anchor in anchors(path), f"{page.name}: {target}#{anchor}"


def test_documents_that_the_code_refers_to_are_in_the_repository():
    documents = {page.stem for page in ROOT.rglob("*.md")} | ELSEWHERE
    for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("scripts/*.py")):
        named = re.findall(r"\b([A-Z]{4,})(?:\.md\b| of the project\b| \d+\.\d+)", path.read_text())
        assert documents.issuperset(named), path


def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
