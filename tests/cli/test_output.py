"""What reaches a terminal: of names from a disk or a log, printable characters only."""

import pytest
from click.testing import CliRunner

from checkpoints.files import matrix, save
from events import end, logged, write_run
from rldk.cli import main
from rldk.cli.progress import ProgressCounter, measuring
from sample_lines import recorded, write_samples

NAME = "x\x1b[31mRED\x1b]0;pwn\x07"
TOLD = r"x\x1b[31mRED\x1b]0;pwn\x07"
RUN, EVENTS = f"{NAME}/{NAME}", f"{NAME}/{NAME}_events.jsonl"
FORMATS = ("terminal", "markdown")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs, samples, checkpoints and logs whose names are escape sequences; some of their lines are torn."""
    folder = tmp_path_factory.mktemp("names")
    place = folder / NAME
    for name in (NAME, f"{NAME}-2"):
        files = write_run(
            place, *(logged(step, **{"loss": 1.0, NAME: 0.5}) for step in range(8)), run_id=name
        )
        with files.events.open("ab") as file:
            file.write(f'{{"{NAME}'.encode() + b"\n")
        end(files, NAME)
        write_samples(files, recorded(1, f"to {NAME}", rewards={NAME: 0.5}), b"{torn\n")
    for step in (5, 10):
        save(folder / "out" / NAME / f"checkpoint-{step}", {"model.w.weight": matrix()}, step=step)
    save(folder / NAME / "bare", {})
    (place / f"{NAME}.csv").write_text("step,loss\n1,0.5\n2,0.4\n")
    (place / f"{NAME}.txt").write_text("nothing\n")
    (place / "gone_events.jsonl").touch()
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", RUN, "-f", "jsonl", "-o", f"{NAME}/{NAME}.out"),
        ("export", RUN, "-o", f"none.{NAME}"),
        ("export", RUN, "-o", f"{NAME}/none/t.csv"),
        ("export", RUN, "-o", EVENTS),
        ("export", RUN, f"{RUN}-2", "-o", f"{NAME}/{NAME}.csv"),
        ("export", f"{NAME}/none"),
        ("export", NAME),
        ("validate", RUN),
        ("validate", EVENTS, f"{NAME}/{NAME}.txt", f"{NAME}/none"),
        ("validate", f"{NAME}/{NAME}.csv"),
        ("info", RUN),
        ("info", f"{NAME}/{NAME}.csv", f"{NAME}/{NAME}.txt"),
        ("info", NAME),
        ("runs", "."),
        ("runs", NAME),
        ("runs", EVENTS),
        ("runs", f"{NAME}/none"),
        ("runs", f"out/{NAME}"),
        *(("doctor", RUN, "-f", kind) for kind in (*FORMATS, "github")),
        ("doctor", f"{NAME}/none", RUN),
        ("doctor", f"{NAME}/{NAME}.csv", "--follow"),
        *(("samples", RUN, "-f", kind) for kind in FORMATS),
        ("samples", RUN, "--finding", "truncation"),
        ("samples", RUN, "--function", "none"),
        ("samples", f"{NAME}/{NAME}.csv"),
        ("explain", "loss", RUN),
        ("explain", NAME, RUN),
        ("explain", NAME),
        ("explain", "loss", RUN, NAME),
        *(("checkpoint", f"out/{NAME}", "-f", kind) for kind in FORMATS),
        ("checkpoint", f"out/{NAME}/checkpoint-5", f"out/{NAME}/checkpoint-5"),
        ("checkpoint", f"out/{NAME}/checkpoint-5", "--base", f"out/{NAME}/checkpoint-10"),
        ("checkpoint", RUN),
        ("checkpoint", f"{NAME}/bare"),
        ("checkpoint", f"{NAME}/none"),
        ("rules", NAME),
        (NAME,),
    ],
)
def test_no_name_moves_the_cursor_and_each_is_told(arguments, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "300"})
    assert not {"\x1b", "\x07"} & {*result.output}
    assert TOLD.lower() in result.output.replace("\\\\", "\\").replace("\\[", "[").replace("\\]", "]").lower()


def test_nor_does_one_in_a_progress_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert [*ProgressCounter([1], NAME)] == [1]
    with measuring(NAME, lambda: 0, 10):
        pass
    told = capsys.readouterr().err
    assert told.count(TOLD) >= 2
    assert NAME not in told
    assert "\x07" not in told
