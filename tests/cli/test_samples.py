"""`rldk samples`, and what the doctor shows of samples."""

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from events import event, write_run
from rldk.cli import main
from rldk.doctor.judge import judge, monitor_of
from rldk.health import RULES, diagnose
from rldk.report.final_report import write_end
from rldk.runs import RecordedRun
from rldk.schema.run_info import RunEnd
from sample_lines import recorded, run_with, write_samples
from stories import collapsing, write


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


PAGE = "\n".join(
    page.read_text() for page in sorted((Path(__file__).parents[2] / "docs").glob("samples*.md"))
)


def strict(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Twenty samples of ten steps, two a step: a short one that is right, a long one that is cut."""
    samples = []
    for step in range(1, 11):
        right = recorded(
            step,
            f"It is {step}.",
            prompt=[{"role": "user", "content": f"What is {step} + 0?"}],
            rewards={"accuracy": step / 10, "format": None},
            reward=step / 10,
            length=step,
            why=("best",),
        )
        long = recorded(
            step,
            "word " * 500,
            index=1,
            rewards={"accuracy": 0.0, "format": 1.0},
            reward=-1.0,
            length=99,
            end="cut",
        )
        samples += [right, long]
    samples.append(recorded(10, "of an eval", phase="eval", rewards={"other": 2.0}, reward=None, length=None))
    return run_with(tmp_path_factory.mktemp("run"), *samples).folder


@pytest.fixture(scope="module")
def ill(tmp_path_factory):
    """A run whose completions run into the limit from step 150 on, with samples that show it."""
    files = write(tmp_path_factory.mktemp("ill"), collapsing(), "my_run")
    write_samples(
        files,
        *(
            recorded(
                step, f"{'so ' * 200}[red]{step}[/red]\x1b[2J", end="cut" if step > 150 else "eos", length=250
            )
            for step in range(1, 301, 3)
        ),
    )
    return files


def steps(*arguments):
    result = rldk("samples", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return [one["step"] for one in strict(result.stdout)]


def test_the_newest_samples_are_shown_first(run):
    result = rldk("samples", run)
    assert result.exit_code == 0, result.output
    page = result.stdout
    assert page.splitlines()[0] == f"{run}: 5 of 21 samples"
    assert page.index("step 10 ·") < page.index("step 9 ·")
    assert "step 10 · reward 1 · accuracy 1 · format none" in page
    assert "10 tokens, ended with an end token; kept as the best of its step" in page
    assert "prompt: What is 10 + 0?" in page
    assert "    It is 10.\n" in page
    assert "--full shows them" in page
    assert page.splitlines()[-1].startswith("Whole texts: --full. More samples: --limit")
    assert result.stderr == ""


def test_what_is_asked_for_is_what_is_shown(run):
    assert steps(run, "--limit", 2) == [10, 10]
    assert steps(run, "--sort", "step", "--limit", 3) == [1, 1, 2]
    assert steps(run, "--sort", "-reward", "--limit", 2) == [10, 10]  # the eval's sum, then 1.0
    assert steps(run, "--sort", "-reward", "--phase", "train", "--limit", 2) == [10, 9]
    assert steps(run, "--sort", "reward", "--grep", "it IS", "--limit", 3) == [1, 2, 3]
    assert steps(run, "--grep", "what is 7") == [7]
    assert steps(run, "--sort", "length", "--phase", "train", "--limit", 2) == [1, 2]
    assert steps(run, "--sort", "-length", "--phase", "train", "--limit", 1, "--step", "4:6") == [4]
    assert steps(run, "--step", 3) == [3, 3]
    assert sorted(set(steps(run, "--step", "3:5", "--limit", 0))) == [3, 4, 5]
    assert sorted(set(steps(run, "--step", ":2"))) == [1, 2]
    assert sorted(set(steps(run, "--step", "9:", "--phase", "train"))) == [9, 10]
    assert steps(run, "--phase", "eval") == [10]
    assert len(steps(run, "--limit", 0)) == 21


def test_a_function_is_what_the_reward_means_and_what_it_did_not_score_comes_last(run):
    assert steps(run, "--function", "accuracy", "--sort", "-reward", "--limit", 2) == [10, 9]
    result = rldk("samples", run, "--function", "format", "--sort", "reward", "--limit", 0, "-f", "json")
    values = [one["rewards"]["format"] for one in strict(result.stdout)]
    assert values == [1.0] * 10 + [None] * 10
    result = rldk("samples", run, "--function", "nonsense")
    assert result.exit_code == 2
    assert "they have: accuracy, format and other" in result.stderr


def test_the_objects_are_those_of_the_file_in_both_forms(run):
    whole = strict(rldk("samples", run, "--sort", "step", "--limit", 0, "-f", "json").stdout)
    lines = rldk("samples", run, "--sort", "step", "--limit", 0, "-f", "jsonl").stdout.splitlines()
    assert [strict(line) for line in lines] == whole
    assert whole[0] == {
        "step": 1,
        "prompt": [{"role": "user", "content": "What is 1 + 0?"}],
        "completion": "It is 1.",
        "rewards": {"accuracy": 0.1, "format": None},
        "advantage": None,
        "extra": {},
        "phase": "train",
        "group": 0,
        "index": 0,
        "reward": 0.1,
        "length": 1,
        "end": "eos",
        "why": ["best"],
        "cut_chars": 0,
    }


def test_full_shows_whole_texts(run):
    short, whole = (
        rldk("samples", run, "--sort", "length", "--step", 1, *more).stdout for more in ([], ["--full"])
    )
    assert whole.count("word") == 500
    assert short.count("word") < 200
    assert "Whole texts" not in whole


def test_markdown_is_a_page_too(run):
    page = rldk("samples", run, "-f", "markdown", "--limit", 1).stdout
    assert "\n#### step 10 · reward 1 · accuracy 1 · format none\n" in page
    assert page.endswith("```text\nIt is 10.\n```\n")


def test_none_that_matches_is_exit_1_and_says_so(run):
    for more in (["--step", 99], ["--grep", "nowhere"]):
        result = rldk("samples", run, *more)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "rldk: no match among 21 samples\n"
        result = rldk("samples", run, *more, "-f", "json")
        assert (result.exit_code, strict(result.stdout)) == (1, [])


@pytest.mark.parametrize(
    "more",
    [
        ["--step", "x"],
        ["--step", "1:2:3"],
        ["--step", "-1"],
        ["--step", "9" * 99],
        ["--step", "200:100"],
        ["--finding", "nonsense"],
        ["--sort", "colour"],
        ["--limit", "-1"],
    ],
)
def test_wrong_arguments_are_exit_2(run, more):
    result = rldk("samples", run, *more)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_range_that_ends_before_it_begins_is_told_the_right_way_round(run):
    assert "did you mean 100:200?" in rldk("samples", run, "--step", "200:100").stderr


def test_no_range_hides_no_step(tmp_path):
    files = run_with(tmp_path, recorded(-1, "early"), recorded(2, "late"))
    begin = " ".join(rldk("samples", files.folder).stdout.split())  # a long folder may be wrapped
    assert begin.startswith(f"{files.folder}: 2 of 2 samples ")
    assert steps(files.folder, "--step", ":1") == [-1]
    assert steps(files.folder, "--step", "0:") == [2]


def test_a_run_without_samples_says_what_to_do(tmp_path):
    files = write_run(tmp_path, event(1, loss=1.0))
    result = rldk("samples", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    for part in ("has no samples", "observe_rewards(reward_funcs)", "log_completions=True"):
        assert part in result.stderr
    assert rldk("samples", tmp_path / "nowhere").exit_code == 2
    write_samples(files)
    result = rldk("samples", tmp_path)
    assert (result.exit_code, "no sample yet" in result.stderr) == (1, True)


def test_what_cannot_be_read_is_told_and_costs_nothing_else(tmp_path):
    files = run_with(tmp_path, recorded(1, "good"), b"{broken\n", b"\0\n")
    result = rldk("samples", tmp_path)
    assert result.exit_code == 0
    assert "    good\n" in result.stdout
    assert result.stderr.startswith("rldk: could not read 2 samples; the first: ")
    assert "run_samples.jsonl:2: no sample: " in result.stderr
    write_samples(files, b"{broken\n")
    result = rldk("samples", tmp_path)
    assert result.exit_code == 2
    assert "could not read any sample of" in result.stderr


def test_tables_of_trl_are_shown_from_the_trainers_folder_and_their_own(tmp_path):
    (tmp_path / "out" / "completions").mkdir(parents=True)
    columns = {"step": [5], "prompt": ["p"], "completion": ["c"], "f": [0.25], "advantage": [-1.0]}
    pq.write_table(pa.table(columns), tmp_path / "out" / "completions" / "completions_00005.parquet")
    for path in ("out", "out/completions", "out/completions/completions_00005.parquet"):
        result = rldk("samples", tmp_path / path)
        assert result.exit_code == 0, result.stderr
        assert "step 5 · f 0.25 · advantage -1 ──" in result.stdout


def test_a_finding_is_shown_by_exactly_its_samples_and_whole(ill):
    told = {finding.rule: finding for finding in judge(RecordedRun(ill)).findings}["truncation"]
    result = rldk("samples", ill.folder, "--finding", "truncation", "-f", "json")
    objects = strict(result.stdout)
    assert [(one["step"], one["index"], one["shows"]) for one in objects] == [
        (one["step"], one["index"], one["why"]) for one in told.samples
    ]
    assert all(one["finding"] == "truncation" and len(one["completion"]) > 600 for one in objects)
    page = rldk("samples", ill.folder, "--finding", "GEN001").stdout  # by its code
    assert page.splitlines()[0].endswith(": 4 samples of truncation")
    assert page.count("so") > 4 * 190
    assert "  cut at 250 tokens\n" in page


def test_a_finding_that_is_not_there_or_that_no_sample_shows_is_exit_1(ill, tmp_path):
    result = rldk("samples", ill.folder, "--finding", "kl-blowup")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the doctor does not find kl-blowup" in result.stderr
    assert "truncation" in result.stderr
    files = write_samples(write(tmp_path, collapsing()), recorded(1))
    result = rldk("samples", files.folder, "--finding", "truncation")
    assert result.exit_code == 1
    assert result.stderr == f"rldk: no recorded sample of {tmp_path} shows truncation\n"


def test_the_doctor_shows_a_few_words_of_samples_and_how_to_see_them(ill):
    page = rldk("doctor", ill.folder).stdout
    story = " ".join(page.split())
    assert "In the samples step " in story
    assert "step 298, cut at 250 tokens: “[…] so so" in story
    assert "[red]298[/red]\\x1b[2J”" in story
    assert f"  rldk samples {ill.folder} --finding truncation\n" in page
    assert f"  rldk samples {ill.folder} --finding reward-collapse\n" in page
    assert len(page.split("In the samples")[1].split("This explains")[0].splitlines()) < 9
    page = rldk("doctor", ill.folder, "-f", "markdown").stdout
    assert "\nIn the samples\n\n- step " in page
    assert "\\[red\\]298\\[/red\\]\\\\x1b\\[2J" in page
    found = strict(rldk("doctor", ill.folder, "-f", "json").stdout)
    samples = {finding["rule"]: finding["samples"] for finding in found["findings"]}
    assert [set(one) for one in samples["truncation"]] == [{"step", "index", "reward", "why", "text"}] * 4


def test_a_finding_without_samples_is_told_without(tmp_path):
    write(tmp_path, collapsing())
    page = rldk("doctor", tmp_path).stdout
    assert "truncation" in page
    assert "In the samples" not in page
    assert "rldk samples" not in page


def test_the_final_report_links_the_samples_that_the_doctor_shows(ill):
    end = RunEnd(
        how="completed",
        detail=None,
        step=300,
        wall_time=1.0,
        time="2026-01-01T00:00:00+00:00",
        records=300,
        records_lost=0,
        records_in_memory=0,
        sync_error=None,
        hook_failures=0,
    )
    run = RecordedRun(ill)
    write_end(ill, run, end, diagnose(monitor_of(run)))
    report = strict(ill.final_report.read_text())
    told = {finding.rule: finding.samples for finding in judge(run).findings}
    assert {finding["rule"]: finding["samples"] for finding in report["findings"]} == told
    assert told["truncation"]


def test_the_page_of_the_documentation_shows_commands_that_work(ill):
    lines = re.findall(r"^rldk samples rldk_logs/my_run(.*?)(?: > .*)?$", PAGE, re.MULTILINE)
    assert len(lines) >= 5
    for options in lines:
        result = rldk("samples", ill.folder, *shlex.split(options))
        assert result.exit_code == (1 if "--grep" in options else 0), result.output


def test_the_page_of_the_documentation_lists_every_finding_that_samples_show():
    listed = PAGE.partition("| finding | its samples |")[2].partition("\n\n")[0]
    assert set(re.findall(r"\[([a-z-]+)\]\(rules/", listed)) == {rule.name for rule in RULES if rule.shown_by}
