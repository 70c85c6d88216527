import gzip
import json

import jsonschema
from click.testing import CliRunner

from events import logged, record
from rldk.cli import main


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_good_file_is_counted_and_exits_0(tmp_path):
    files = record(tmp_path, [*map(logged, range(1, 4)), logged(3, "summary")])
    result = rldk("validate", files.events)
    assert result.exit_code == 0
    assert "4 events (3 train, 1 summary), steps 1 to 3" in result.stdout


def test_bad_lines_are_named_with_line_and_reason_and_exit_1(tmp_path):
    files = record(tmp_path, map(logged, range(1, 4)))
    lines = files.events.read_bytes().splitlines()
    without_rng = json.loads(lines[1])
    del without_rng["rng"]
    files.events.write_bytes(
        b"\n".join(
            [
                lines[0],
                json.dumps(without_rng).encode(),
                lines[0].replace(b'"loss":0.5', b'"loss":NaN'),
                lines[0].replace(b'"step":1', b'"step":-1'),
                lines[2][:50],
            ]
        )
    )
    result = rldk("validate", files.events)
    shown = result.stdout.splitlines()
    assert result.exit_code == 1
    assert [line.split(":")[1] for line in shown[:4]] == ["2", "3", "4", "5"]
    assert "rng" in shown[0]
    assert "malformed" in shown[1]
    assert "step" in shown[2]
    assert "ends inside this record" in shown[3]
    assert "1 event " in shown[4]
    assert "4 bad lines" in shown[4]


def test_a_run_is_all_its_parts_and_a_part_is_itself(tmp_path):
    record(tmp_path, map(logged, range(1, 40)), rotate_mb=0.004, compress=True)
    parts = sorted(tmp_path.glob("*.gz"))
    assert len(parts) > 1
    assert "39 events" in rldk("validate", tmp_path / "run").stdout
    inside = len(gzip.decompress(parts[0].read_bytes()).splitlines())
    assert f"{inside} events" in rldk("validate", parts[0]).stdout


def test_any_file_can_be_checked(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    result = rldk("validate", tmp_path / "notes.txt")
    assert result.exit_code == 1
    assert "notes.txt:1: " in result.stdout


def test_a_missing_file_exits_2(tmp_path):
    assert rldk("validate", tmp_path / "none.jsonl").exit_code == 2
    assert rldk("validate").exit_code == 2


def test_json_output_has_the_counts_and_the_bad_lines(tmp_path):
    files = record(tmp_path, map(logged, range(1, 4)))
    with files.events.open("ab") as file:
        file.write(b"{}\n")
    (found,) = json.loads(rldk("validate", files.events, "-f", "json").stdout)
    assert (found["records"], found["bad"], found["first_step"], found["last_step"]) == (3, 1, 1, 3)
    assert found["bad_lines"][0]["line"] == 4


def test_the_schema_is_printed_and_the_events_follow_it(tmp_path):
    schema = json.loads(rldk("validate", "--schema").stdout)
    files = record(tmp_path, [logged(1), logged(2, "train", ("nonfinite:loss=inf",), loss=None)])
    for line in files.events.read_text().splitlines():
        jsonschema.validate(json.loads(line), schema)


# Logs of other tools


def test_a_foreign_log_is_read_and_counted(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n1,0.5\n2,nan\n3,0.25\n")
    result = rldk("validate", log)
    assert result.exit_code == 0
    assert result.stdout == f"{log}: 3 events (3 train), steps 1 to 3; no bad lines\n"


def test_a_foreign_log_under_a_name_like_ours_is_read_as_what_it_is(tmp_path):
    log = tmp_path / "train_events.jsonl"
    log.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n')
    result = rldk("validate", log)
    assert result.stdout == f"{log}: 2 events (2 train), steps 1 to 2; no bad lines\n"


def test_bad_lines_of_a_foreign_log_are_named_and_exit_1(tmp_path):
    log = tmp_path / "log.csv"
    good = "".join(f"{step},0.25,1\n" for step in range(3, 30))
    log.write_text(f"step,loss,kl\n1,0.5,1\n2,0.5\n{good},,\n")
    result = rldk("validate", log)
    assert result.exit_code == 1
    assert f"{log}:3: 2 cells, where the header has 3\n" in result.stdout
    assert f"{log}:31: no metric in it\n" in result.stdout
    assert "28 events (28 train), steps 1 to 29; 2 bad lines" in result.stdout
    (found,) = json.loads(rldk("validate", log, "-f", "json").stdout)
    assert [(bad["file"], bad["line"]) for bad in found["bad_lines"]] == [(str(log), 3), (str(log), 31)]


def test_many_bad_lines_are_counted_and_the_first_are_shown(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 1}\n' * 2_000 + "{torn\n" * 150)
    result = rldk("validate", log)
    assert result.exit_code == 1
    assert "... and 50 more bad lines" in result.stdout
    assert "2,000 events (2,000 train), steps 1 to 1; 150 bad lines" in result.stdout


def test_several_paths_of_any_kind_are_checked_and_one_bad_is_enough(tmp_path):
    files = record(tmp_path, map(logged, range(1, 4)))
    (tmp_path / "good.csv").write_text("step,loss\n1,0.5\n2,1\n")
    (tmp_path / "bad.csv").write_text("step,loss\n1,0.5\n2,1\n3\n4,1\n5,1\n" + "6,1\n" * 9)
    assert rldk("validate", files.events, tmp_path / "good.csv").exit_code == 0
    result = rldk("validate", files.events, tmp_path / "good.csv", tmp_path / "bad.csv")
    assert result.exit_code == 1
    assert len([line for line in result.stdout.splitlines() if " events (" in line]) == 3


def test_our_events_can_be_checked_as_another_format(tmp_path):
    files = record(tmp_path, map(logged, range(1, 4)))
    assert "3 events" in rldk("validate", files.events, "--input-format", "jsonl").stdout
    assert rldk("validate", files.events, "--input-format", "rldk").exit_code == 0
    assert rldk("validate", files.events, "--input-format", "excel").exit_code == 2
