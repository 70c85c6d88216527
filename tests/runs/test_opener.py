"""open_run: any path gives one run, or one error that says what was tried."""

import csv
import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from events import event, lines, logged, write_run
from processes import run_script
from rldk import RLDKError, open_run
from rldk.errors import AmbiguousRunError, RunNotFoundError, UnknownFormatError
from rldk.runs import RecordedRun
from rldk.runs.adapters import adapters
from rldk.runs.foreign_run import ForeignRun

JSONL = '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n{"step": 3, "loss": 0.125}\n'
CSV = "step,loss\n1,0.5\n2,0.25\n3,0.125\n"
STATE = json.dumps({"global_step": 2, "log_history": [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]})
CONSOLE = "INFO go\n{'loss': 0.5, 'epoch': 0.1}\nnoise\n{'loss': '0.25', 'epoch': 0.2}\n"
VERL = "step:1 - actor/pg_loss:0.5 - actor/entropy:0.1\nnoise\nstep:2 - actor/pg_loss:np.float64(0.25)\n"
PAIRS = "step 1 | loss 0.5 | reward 0.1\nnoise\nstep 2 | loss 0.25 | reward 0.2\n"
TEXTS = {
    "jsonl": ("log.jsonl", JSONL),
    "csv": ("log.csv", CSV),
    "trainer-state": ("trainer_state.json", STATE),
    "console": ("console.log", CONSOLE),
    "verl-console": ("verl.log", VERL),
    "pairs": ("pairs.log", PAIRS),
}


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def losses(run):
    return [v for one in run for k, v in one.metrics.items() if k.endswith(("loss", "loss_mean"))]


# What it is


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_each_format_is_found_without_a_hint_also_packed_and_under_any_name(tmp_path, kind, packed):
    name, text = TEXTS[kind]
    data = gzip.compress(text.encode()) if packed else text.encode()
    run = open_run(write(tmp_path, name + ".gz" * packed, data))
    assert run.format == kind
    assert losses(run)[:2] == [0.5, 0.25]
    assert run.bad_lines == []
    if kind != "trainer-state":
        assert open_run(write(tmp_path, "any name", data)).format == kind


def test_our_events_under_another_name_are_ours(tmp_path):
    for name, data in (("copied.jsonl", lines(*map(logged, range(9)))), ("x", lines(logged(1)))):
        run = open_run(write(tmp_path, name, data))
        assert (run.format, type(run)) == ("rldk", RecordedRun)
        assert run.last().step == list(run)[-1].step
    packed = write(tmp_path, "moved.gz", gzip.compress(lines(*map(logged, range(9)))))
    assert open_run(packed).format == "rldk"
    assert [one.step for one in open_run(packed)] == list(range(9))


def test_our_events_behind_a_torn_line_are_ours(tmp_path):
    path = write(tmp_path, "copied.jsonl", b'{"step": 1, "wa\n' + lines(logged(2), logged(3)))
    run = open_run(path)
    assert [one.step for one in run] == [2, 3]
    assert [bad.number for bad in run.bad_lines] == [1]


def test_a_metrics_csv_is_a_csv_log_unless_its_events_lie_beside_it(tmp_path):
    path = write(tmp_path, "run_metrics.csv", CSV)
    assert open_run(path).format == "csv"
    assert losses(open_run(path)) == [0.5, 0.25, 0.125]
    write_run(tmp_path, event(7))
    assert open_run(path).format == "rldk"
    assert [one.step for one in open_run(path)] == [7]


@pytest.mark.parametrize("name", ["run_events.jsonl", "run_events.0001.jsonl", "run_events.jsonl.gz"])
def test_a_log_of_another_tool_under_a_name_like_ours_is_not_ours(tmp_path, name):
    data = JSONL.encode() * 30
    path = write(tmp_path, name, gzip.compress(data) if name.endswith("gz") else data)
    for one in (path, tmp_path):
        run = open_run(one)
        assert run.format == "jsonl"
        assert len(list(run)) == 90
    with pytest.raises(RunNotFoundError):
        open_run(tmp_path / "run")
    write_run(tmp_path, logged(1), run_id="ours")
    assert open_run(tmp_path).run_id == "ours"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b'{"step": 1, "wa',
        b"junk\n" * 9,
        b'{"step": 1, "wa\n' * 9 + lines(logged(1)),
        lines(logged(1)).replace(b'"rng"', b'"sng"') * 9 + lines(logged(2)),
        lines(event(1, **{f"metric {n}": 0.5 for n in range(9_000)})),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_torn_or_just_begun_is_still_ours(tmp_path, data):
    path = write(tmp_path, "run_events.jsonl", data)
    for one in (path, tmp_path, tmp_path / "run"):
        assert open_run(one).format == "rldk"
    # What lies beside it says that it is ours, whatever it holds.
    path.write_bytes(JSONL.encode())
    write(tmp_path, "run_run.json", "{}")
    assert open_run(path).format == "rldk"


def test_a_part_that_goes_while_it_is_looked_at_is_ours(tmp_path, monkeypatch):
    files = write_run(tmp_path, logged(1))
    listed = files.parts()
    monkeypatch.setattr(type(files), "parts", lambda _: [files.part(1), *listed])
    assert open_run(files.events).format == "rldk"


def test_a_checkpoint_folder_is_its_newest_state(tmp_path):
    for step in (1, 2):
        history = [{"step": one, "loss": 1 / one} for one in range(1, step + 1)]
        write(tmp_path / f"checkpoint-{step}", "trainer_state.json", json.dumps({"log_history": history}))
    assert [one.step for one in open_run(tmp_path)] == [1, 2]
    assert [one.step for one in open_run(tmp_path / "checkpoint-1")] == [1]


# Folders


def test_a_folder_with_one_log_is_that_log(tmp_path):
    write(tmp_path, "log.jsonl", JSONL)
    write(tmp_path, "README.md", "# A run\nsome words\n")
    write(tmp_path, "model.bin", b"\0\1\2" * 100)
    (tmp_path / "empty").mkdir()
    run = open_run(tmp_path)
    assert run.format == "jsonl"
    assert run.path == tmp_path / "log.jsonl"
    assert len(list(run)) == 3


def test_a_folder_with_several_logs_lists_them_and_mixes_none(tmp_path):
    names = [write(tmp_path, name, text).name for name, text in (("a.jsonl", JSONL), ("b.csv", CSV))]
    with pytest.raises(AmbiguousRunError) as caught:
        open_run(tmp_path)
    assert caught.value.runs == tuple(str(tmp_path / name) for name in names)
    for path in caught.value.runs:
        assert path in str(caught.value)
        assert len(list(open_run(path))) == 3


def test_a_folder_with_none_says_what_to_type(tmp_path):
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        with pytest.raises(RunNotFoundError, match="rldk runs"):
            open_run(folder)


def test_our_run_in_a_folder_goes_before_other_logs(tmp_path):
    write_run(tmp_path, event(1))
    write(tmp_path, "log.jsonl", JSONL)
    assert open_run(tmp_path).format == "rldk"


# --input-format


def test_the_format_that_is_said_overrides_the_guess(tmp_path):
    path = write(tmp_path, "log.txt", PAIRS + CONSOLE)
    assert open_run(path).format == "console"
    run = open_run(path, input_format="pairs")
    assert run.format == "pairs"
    assert losses(run) == [0.5, 0.25]


def test_ours_read_as_another_format(tmp_path):
    files = write_run(tmp_path, logged(1, loss=0.5), logged(2, loss=0.25))
    run = open_run(files.events, input_format="jsonl")
    assert isinstance(run, ForeignRun)
    assert losses(run) == [0.5, 0.25]


def test_a_file_that_is_said_to_be_ours_is_read_as_ours(tmp_path):
    path = write(tmp_path, "torn", b"x\n" * 20 + lines(logged(1)))
    assert [one.step for one in open_run(path, input_format="rldk")] == [1]
    with pytest.raises(UnknownFormatError):
        open_run(write(tmp_path / "logs", "log.jsonl", JSONL).parent, input_format="rldk")


def test_an_unknown_format_names_the_known(tmp_path):
    path = write(tmp_path, "log.jsonl", JSONL)
    with pytest.raises(RLDKError) as caught:
        open_run(path, input_format="excel")
    for name in ("excel", "rldk", *(adapter.name for adapter in adapters())):
        assert name in str(caught.value)
    with pytest.raises(RunNotFoundError):
        open_run(tmp_path / "none", input_format="jsonl")


def test_the_names_of_formats_differ(tmp_path):
    names = [adapter.name for adapter in adapters()]
    assert len({*names, "rldk"}) == len(names) + 1
    assert all(adapter.what for adapter in adapters())


@pytest.mark.parametrize("name", [adapter.name for adapter in adapters()])
@pytest.mark.parametrize("data", [b"", b"\0\xff" * 999, b"\x1f\x8b", JSONL.encode(), b"{" * 99_999])
def test_a_format_that_is_said_wrongly_gives_no_traceback(tmp_path, name, data):
    run = open_run(write(tmp_path, "log", data), input_format=name)
    try:
        list(run)
    except (RLDKError, OSError) as error:
        assert str(error)


# Hostile paths


@pytest.mark.parametrize("path", ["a\0b", "\0", "x" * 300, "x/" * 3_000, "\ud800"])
@pytest.mark.parametrize("input_format", [None, "jsonl", "rldk"])
def test_a_path_that_can_be_none_is_an_error(tmp_path, path, input_format):
    with pytest.raises((RLDKError, OSError)) as caught:
        open_run(str(tmp_path / path), input_format=input_format)
    assert str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a b", "\N{SNOWMAN}", "a\x1b[31mred", "-rf", "a'\"$(b)`", "é" * 60, "%s{0}", "[a]*?", "a\udcff"],
)
def test_a_path_of_hostile_characters_is_a_path(tmp_path, name):
    try:
        path = write(tmp_path / name, name, JSONL)
    except OSError:
        pytest.skip("this file system has no such name")
    for one in (path, path.parent):
        run = open_run(one)
        assert losses(run) == [0.5, 0.25, 0.125]
        assert len(list(open_run(write_run(tmp_path / name / "ours", *run).events))) == 3


def test_links(tmp_path):
    path = write(tmp_path, "log.jsonl", JSONL)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert len(list(open_run(tmp_path / "link"))) == 3
    for name in ("broken", "loop"):
        with pytest.raises((RLDKError, OSError)):
            open_run(tmp_path / name)


def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
        for input_format in (None, "jsonl"):
            with pytest.raises(RLDKError, match="neither a file nor a folder"):
                open_run(path, input_format=input_format)
    with pytest.raises(RunNotFoundError):
        open_run(tmp_path)  # a folder with a pipe in it


@pytest.fixture
def tmp_path_of_all():
    """A folder that other users may look into."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="users are another matter here")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_one_error(tmp_path_of_all, what):
    (folder := tmp_path_of_all / "locked").mkdir()
    path = write(folder, "log.jsonl", JSONL)
    target = path if what == "file" else folder
    target.chmod(0)
    try:
        done = run_script(
            """
            import os, sys
            from rldk import RLDKError, open_run
            import rldk.cli, rldk.runs.adapters
            rldk.runs.adapters.adapters()
            if os.getuid() == 0:
                os.setgid(65534), os.setuid(65534)
            try:
                run = open_run(sys.argv[1])
                print(run, list(run))
            except (RLDKError, OSError) as error:
                print("refused:", type(error).__name__, error)
            """,
            target,
        )
    finally:
        target.chmod(0o700)
    assert done.stderr == ""
    assert done.stdout.startswith("refused: PermissionError")
    assert str(target) in done.stdout


# Hostile content


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n  \n",
        bytes(range(256)) * 40,
        b"\0" * 10_000,
        b"hello\n",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\0garbage",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"hello", mtime=0),
        b"SQLite format 3\0" + b"\xff" * 1_000,
        b":W&",
        "ünïcode prose, a loss of time".encode("utf-16"),
        b"[" * 100_000,
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        json.dumps({"config": {"model": "x"}}).encode(),
    ],
    ids=lambda data: repr(data[:30]),
)
@pytest.mark.parametrize("name", ["log", "log.jsonl.gz"])
def test_what_holds_no_metrics_is_refused_with_what_was_tried(tmp_path, data, name):
    path = write(tmp_path, name, data)
    with pytest.raises(UnknownFormatError) as caught:
        open_run(path)
    assert str(path) in str(caught.value)
    assert "tried: rldk, " in str(caught.value)
    assert "--input-format" in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in TEXTS if kind != "trainer-state"])
@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_gzip_file_that_is_cut_short_is_read_up_to_there_and_told(tmp_path, kind, keep):
    name, text = TEXTS[kind]
    head, *body = text.splitlines(keepends=True)
    body = [line.replace("0.25", f"0.25{number:05}") for number in range(3_000) for line in body]
    packed = gzip.compress("".join([head, *body]).encode())
    run = open_run(write(tmp_path, name, packed[: int(len(packed) * keep)]))
    assert run.format == kind
    assert len(list(run)) > 1_000 * keep
    assert "cut short" in run.bad_lines[-1].reason


def test_a_bomb_of_zeros_is_refused_or_counted_and_never_unpacked_whole(tmp_path):
    path = write(tmp_path, "bomb.jsonl.gz", gzip.compress(b"\0" * 10_000_000))
    assert path.stat().st_size < 20_000
    with pytest.raises(UnknownFormatError):
        open_run(path)
    for adapter in adapters():
        run = open_run(path, input_format=adapter.name)
        assert list(run) == []
    run = open_run(path, input_format="jsonl")
    list(run)
    assert run.bad_lines


def test_a_bomb_behind_real_records_gives_these_and_is_told_in_bounded_memory(tmp_path):
    bomb = gzip.compress(JSONL.encode() * 10)
    with gzip.open(tmp_path / "zeros.gz", "wb") as file:
        for _ in range(300):
            file.write((b" " * 9_999 + b"\n") * 100)
    write(tmp_path, "bomb.jsonl", bomb + (tmp_path / "zeros.gz").read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import re, sys\n"
                "from rldk import open_run\n"
                "run = open_run(sys.argv[1])\n"
                "print(len(list(run)), [bad.reason for bad in run.bad_lines])\n"
                # getrusage would count the peak of the process that started this one.
                "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
            ),
            str(tmp_path / "bomb.jsonl"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, memory = done.stdout.splitlines()
    assert said.startswith("30 [")
    assert "grows beyond all reason" in said
    assert int(memory) < 400_000


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, kind, encoding):
    name, text = TEXTS[kind]
    run = open_run(write(tmp_path, name, text.encode(encoding)))
    assert run.format == kind
    assert losses(run)[:2] == [0.5, 0.25]


def test_our_events_with_a_byte_order_mark_lose_one_line_at_most_and_tell_it(tmp_path):
    path = write(tmp_path, "copied.jsonl", b"\xef\xbb\xbf" + lines(logged(1), logged(2)))
    run = open_run(path)
    assert [one.step for one in run][-1] == 2
    assert len(list(run)) + len(run.bad_lines) == 2


def test_lines_of_mixed_encodings(tmp_path):
    latin = '{"step": 2, "loss": 0.25, "note": "\xe9"}\n'.encode("latin-1")
    rows = [JSONL.encode().splitlines(keepends=True)[0], latin, '{"step": 3, "loss": 0.1, "é": 1}\n'.encode()]
    run = open_run(write(tmp_path, "log.jsonl", b"".join(rows)))
    assert losses(run) == [0.5, 0.25, 0.1]
    assert list(run)[2].metrics["é"] == 1
    text = CONSOLE.encode() + "{'loss': 0.1, 'epoch': 0.3} é\n".encode("latin-1") + b"\xff\xfe\n"
    assert losses(open_run(write(tmp_path, "console.log", text))) == [0.5, 0.25, 0.1]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_nul_byte_in_the_output_makes_no_binary_of_a_log(tmp_path, kind):
    name, text = TEXTS[kind]
    lines_of = text.encode().splitlines(keepends=True)
    run = open_run(write(tmp_path, name, b"\0".join(lines_of) + b"\0"))
    assert run.format == kind
    assert losses(run)[:2] == [0.5, 0.25]
    assert run.bad_lines == []


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends(tmp_path, end):
    for kind in ("jsonl", "csv", "console", "pairs"):
        name, text = TEXTS[kind]
        assert losses(open_run(write(tmp_path, name, text.replace("\n", end))))[:2] == [0.5, 0.25]


def test_a_row_is_cut_at_the_end_of_the_file(tmp_path):
    run = open_run(write(tmp_path, "log.jsonl", JSONL + '{"step": 4, "lo'))
    assert losses(run) == [0.5, 0.25, 0.125]
    assert [bad.number for bad in run.bad_lines] == [4]


def test_many_distinct_keys(tmp_path):
    rows = [json.dumps({"step": step, "loss": 1.0, f"key {step}": step}) for step in range(20_000)]
    run = open_run(write(tmp_path, "log.jsonl", "\n".join(rows)))
    assert sum(len(one.metrics) for one in run) == 40_000


def test_a_csv_of_a_hundred_thousand_columns(tmp_path):
    path = tmp_path / "wide.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["step", "loss", *(f"m{number}" for number in range(100_000))], range(100_002), range(100_002)]
        )
    assert all(len(one.metrics) == 100_001 for one in open_run(path))


def test_runs_may_be_opened_from_many_threads(tmp_path):
    paths = [write(tmp_path, name, text) for name, text in TEXTS.values()]
    found = []
    threads = [
        threading.Thread(target=lambda path=path: found.append(losses(open_run(path))[:2]))
        for path in paths * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[0.5, 0.25]] * len(threads)
