import gzip
import json

import jsonschema
from click.testing import CliRunner

from rldk.cli import main
from samples import logged, record


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
    assert "ends within this record" in shown[3]
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
