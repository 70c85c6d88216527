"""Adapters of other packages: they read their logs, and keep nobody from reading another."""

import pytest

from rldk import RLDKError, open_run
from rldk.errors import UnknownFormatError
from rldk.metrics.dialects import Dialect
from rldk.runs.adapters import Adapter, Probe, Row, adapters, jsonl, text_lines

SOURCE = """
from rldk.runs.adapters import Adapter, Row, text_lines

def confidence(probe):
    return {sure}

def rows(path, on_bad):
    for number, line in text_lines(path, on_bad):
        if number > 1:
            yield Row({{"grade": float(line)}}, step=number - 1)

ADAPTER = Adapter({name!r}, "scores", confidence, rows)
"""
KNOWS = "0.9 if probe.text.startswith('#scores') else 0"
JSONL = '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'


@pytest.fixture
def scores(tmp_path):
    """A log that rldk itself does not know."""
    path = tmp_path / "run.scores"
    path.write_text("#scores\n0.5\n0.75\n")
    return path


def install(installed, name="scores", sure=KNOWS):
    installed("rldk.adapters", "scores = plugin_a:ADAPTER", plugin_a=SOURCE.format(name=name, sure=sure))


def test_the_log_of_these_tests_is_unknown_without_the_plug_in(scores):
    with pytest.raises(UnknownFormatError):
        open_run(scores)


def test_a_log_of_a_plug_in_is_a_run(installed, scores):
    install(installed)
    for run in (open_run(scores), open_run(scores, input_format="scores")):
        assert run.format == "scores"
        assert [(event.step, event.metrics) for event in run] == [(1, {"grade": 0.5}), (2, {"grade": 0.75})]


def test_errors_that_list_the_formats_name_it(installed, tmp_path):
    install(installed)
    (tmp_path / "prose").write_text("nothing of interest\n")
    with pytest.raises(UnknownFormatError, match=r"\(tried: rldk, .*, scores\)"):
        open_run(tmp_path / "prose")
    with pytest.raises(RLDKError, match=r"unknown input format 'excel'; the formats are: rldk, .*, scores$"):
        open_run(tmp_path / "prose", input_format="excel")


@pytest.mark.parametrize(("more", "read_by"), [(0.0, "jsonl"), (0.01, "scores")])
def test_where_two_are_as_sure_the_format_of_rldk_reads(installed, tmp_path, more, read_by):
    path = tmp_path / "log.jsonl"
    path.write_text(JSONL)
    install(installed, sure=jsonl.ADAPTER.confidence(Probe(path)) + more)
    assert open_run(path).format == read_by


def test_a_name_of_rldk_stays_with_rldk(installed, caplog):
    install(installed, name="jsonl")
    assert [adapter.what for adapter in adapters() if adapter.name == "jsonl"] != ["scores"]
    assert caplog.messages == ["rldk: the plug-in plugin_a:ADAPTER is left out: there is another 'jsonl'"]


@pytest.mark.parametrize("sure", ["1 / 0", "'surely'", "None"])
def test_a_plug_in_that_fails_on_a_file_is_silent_about_it_and_warns_once(installed, tmp_path, caplog, sure):
    install(installed, sure=sure)
    (tmp_path / "log.jsonl").write_text(JSONL)
    (tmp_path / "prose").write_text("nothing of interest\n")
    for _ in range(2):
        assert open_run(tmp_path / "log.jsonl").format == "jsonl"
        with pytest.raises(UnknownFormatError):
            open_run(tmp_path / "prose")
    (message,) = caplog.messages
    assert message.startswith("rldk: the plug-in plugin_a:ADAPTER cannot say whether it knows ")


def test_a_file_that_a_plug_in_cannot_read_is_an_error_as_for_all(installed, scores):
    install(installed, sure="open(probe.path / 'x')")
    with pytest.raises(NotADirectoryError):
        open_run(scores)


def test_an_adapter_may_be_passed_in_with_a_dialect_of_its_own(scores):
    def rows(path, on_bad):
        for number, line in text_lines(path, on_bad):
            if number > 1:
                yield Row({"grade": float(line)}, number - 1)

    dialect = Dialect("mine", {"grade": "reward_mean"})
    adapter = Adapter("scores", "scores", lambda _: 0.0, rows, dialect=dialect)
    run = open_run(scores, input_format=adapter)
    assert (run.format, run.dialect) == ("scores", "mine")
    assert [event.metrics for event in run] == [{"reward_mean": 0.5}, {"reward_mean": 0.75}]
