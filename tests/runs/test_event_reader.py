"""Reading events files: each live record once and in order, whatever was done to the files."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event, lines, resumed, write_run
from rldk.runs import RecordedRun
from rldk.runs.event_reader import last_event, read_events, read_lines
from rldk.schema.event import encode
from rldk.schema.files import RunFiles


def steps(parts):
    bad = []
    found = [one.step for one in read_events(parts, bad.append)]
    assert bad == []
    return found


# Branches that a resume superseded.


def test_a_resume_ends_the_branch_above_its_checkpoint(tmp_path):
    files = write_run(tmp_path, *map(event, range(1, 8)), resumed(5, 4), *map(event, range(6, 10)))
    assert steps(files.parts()) == list(range(1, 10))
    found = list(read_events(files.parts()))
    assert found[4].resumed_from == 4  # step 5 is the new one


def test_a_resume_that_ends_before_the_first_attempt_did_leaves_nothing_of_the_dead_branch(tmp_path):
    files = write_run(tmp_path, *map(event, range(1, 101)), resumed(51, 50), event(52))
    assert steps(files.parts()) == list(range(1, 53))


def test_a_second_resume_from_an_earlier_step_also_ends_the_first_resume(tmp_path):
    files = write_run(
        tmp_path,
        *(event(step, attempt=1) for step in range(1, 11)),
        resumed(9, 8, attempt=2),
        event(10, attempt=2),
        event(11, attempt=2),
        resumed(4, 3, attempt=3),
        event(5, attempt=3),
    )
    found = [(one.step, one.metrics["attempt"]) for one in read_events(files.parts())]
    assert found == [(1, 1), (2, 1), (3, 1), (4, 3), (5, 3)]


def test_a_second_resume_from_a_later_step_keeps_what_the_first_resume_added(tmp_path):
    files = write_run(
        tmp_path,
        *(event(step, attempt=1) for step in range(1, 11)),
        resumed(4, 3, attempt=2),
        *(event(step, attempt=2) for step in range(5, 9)),
        resumed(7, 6, attempt=3),
    )
    found = [(one.step, one.metrics["attempt"]) for one in read_events(files.parts())]
    assert found == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3)]


def test_records_of_other_phases_are_superseded_too_and_those_at_the_checkpoint_stay(tmp_path):
    files = write_run(
        tmp_path,
        event(4), event(4, "eval"), event(5), event(5, "eval"), event(5, "summary"),
        resumed(5, 4), event(5, "eval"),
    )  # fmt: skip
    found = [(one.step, one.phase) for one in read_events(files.parts())]
    assert found == [(4, "train"), (4, "eval"), (5, "train"), (5, "eval")]


def test_a_step_that_goes_back_without_a_resume_supersedes_nothing(tmp_path):
    files = write_run(tmp_path, event(1), event(2), event(1), event(2))
    assert steps(files.parts()) == [1, 2, 1, 2]


def test_a_resume_reaches_across_parts(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.part(1).write_bytes(lines(*map(event, range(1, 6))))
    packed = files.part(2).with_name(f"{files.part(2).name}.gz")
    packed.write_bytes(gzip.compress(lines(*map(event, range(6, 11)))))
    files.part(3).write_bytes(lines(event(11), resumed(4, 3), event(5)))
    files.events.write_bytes(lines(event(6), resumed(6, 5), event(7)))
    for parts in (files, files.parts()):
        assert steps(parts) == [1, 2, 3, 4, 5, 6, 7]


attempts = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=5
)  # (steps back, new steps) of each attempt


@given(attempts, st.lists(st.sampled_from([b"{torn", b"\xff", b"", b"[1]"]), max_size=3), st.data())
def test_any_history_of_resumes_reads_as_the_training_that_led_to_its_end(
    tmp_path_factory, history, garbage, data
):
    """The reader is compared with a trainer that forgets what lies above its checkpoint."""
    truth, written, at, number = {}, [], 0, 0
    for index, (back, new) in enumerate(history):
        checkpoint = max(at - back, 0)
        if index and not checkpoint:
            continue  # a start at step 0 is another run
        for offset in range(1, new + 1):
            number += 1
            step = checkpoint + offset
            one = event(step, n=number)
            if checkpoint and offset == 1:
                one = resumed(step, checkpoint, n=number)
                truth = {key: value for key, value in truth.items() if key <= checkpoint}
            truth[step] = number
            written.append(encode(one))
            at = step
    for line in garbage:
        written.insert(data.draw(st.integers(0, len(written))), line)
    folder = tmp_path_factory.mktemp("run")
    files = RunFiles(folder, "run")
    cut = data.draw(st.integers(0, len(written)))
    files.part(1).write_bytes(b"".join(line + b"\n" for line in written[:cut]))
    files.events.write_bytes(b"".join(line + b"\n" for line in written[cut:]))

    bad = []
    found = list(read_events(files, bad.append))
    assert [(one.step, one.metrics["n"]) for one in found] == list(truth.items())
    assert len(bad) == sum(line != b"" for line in garbage)
    assert last_event(files.parts()) == (found[-1] if found else None)
    assert RecordedRun(files).last() == (found[-1] if found else None)


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["train", "eval", "summary"]), st.booleans()),
        max_size=12,
    )
)
def test_the_last_of_a_phase_is_the_last_that_a_full_pass_yields(tmp_path_factory, rows):
    made = [
        event(step, phase, (f"resumed:from_step={step - 1}",) if again else ()) for step, phase, again in rows
    ]
    files = write_run(tmp_path_factory.mktemp("run"), *made)
    found = list(read_events(files))
    for phase in ("train", "eval", "summary"):
        of_phase = [one for one in found if one.phase == phase]
        assert last_event(files.parts(), phase) == (of_phase[-1] if of_phase else None)


# Lines that are none.


def test_a_bad_line_is_reported_with_its_file_number_and_reason(tmp_path):
    files = write_run(tmp_path, event(1))
    with files.events.open("ab") as file:
        file.write(b"\n  \n{broken}\n" + lines(event(2)) + b'{"step": "three"}\n\xff\xfe\n' + lines(event(3)))
        file.write(encode(event(4))[:50])
    bad = []
    assert [one.step for one in read_events(files.parts(), bad.append)] == [1, 2, 3]
    assert [(one.path, one.number) for one in bad] == [(files.events, n) for n in (4, 6, 7, 9)]
    assert "malformed" in bad[0].reason
    assert "$.step" in bad[1].reason
    assert all(one.reason for one in bad)


def test_lines_are_numbered_in_each_part_anew(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.part(1).write_bytes(lines(event(1)) + b"bad\n")
    files.events.write_bytes(b"bad\n" + lines(event(2)))
    bad = []
    list(read_events(files.parts(), bad.append))
    assert [(one.path.name, one.number) for one in bad] == [
        ("run_events.0001.jsonl", 2),
        ("run_events.jsonl", 1),
    ]


def test_windows_line_ends_and_a_missing_last_newline_are_no_matter(tmp_path):
    path = tmp_path / "run_events.jsonl"
    path.write_bytes((lines(event(1), event(2)) + encode(event(3))).replace(b"\n", b"\r\n"))
    assert steps([path]) == [1, 2, 3]
    assert last_event([path]) == event(3)


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
def test_a_gzip_file_that_is_cut_short_is_read_up_to_there_and_reported(tmp_path, keep):
    path = tmp_path / "run_events.0001.jsonl.gz"
    made = [event(step, noise=hash((step, "noise")) / 3) for step in range(2000)]
    packed = gzip.compress(lines(*made))
    path.write_bytes(packed[: int(len(packed) * keep)])
    live = tmp_path / "run_events.jsonl"
    live.write_bytes(lines(event(5000)))
    bad = []
    found = [one.step for one in read_events([path, live], bad.append)]
    assert found == [*range(len(found) - 1), 5000]
    assert 2000 * (keep - 0.1) < len(found) < 2001
    reasons = [one.reason for one in bad if "cut short or damaged" in one.reason]
    assert len(reasons) == 1
    assert last_event([path, live]).step == 5000
    last = last_event([path])
    assert (last.step if last else -1) == len(found) - 2


@pytest.mark.parametrize("damage", [b"", b"no gzip at all", gzip.compress(lines(event(1))) + b"garbage"])
def test_a_file_that_is_no_gzip_is_reported_and_not_fatal(tmp_path, damage):
    path = tmp_path / "run_events.0001.jsonl.gz"
    path.write_bytes(damage)
    bad = []
    found = list(read_events([path], bad.append))
    assert len(bad) == bool(damage)
    assert last_event([path]) == (found[-1] if found else None)


def test_the_last_event_is_found_behind_much_that_is_none(tmp_path):
    files = write_run(tmp_path, event(1), event(2))
    with files.events.open("ab") as file:
        file.write((b"x" * 100_000 + b"\n") * 200)  # more than any window
    assert last_event(files.parts()) == event(2)


def test_the_last_event_may_be_long(tmp_path):
    long = event(2, **{f"metric {i}": i for i in range(20_000)})
    files = write_run(tmp_path, event(1), long)
    assert files.events.stat().st_size > 200_000
    assert last_event(files.parts()) == long


def test_the_last_event_may_lie_in_an_earlier_part(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.part(1).write_bytes(lines(event(1)))
    files.part(2).write_bytes(b"")
    files.events.write_bytes(b"{torn")
    assert last_event(files.parts()) == event(1)
    assert last_event([]) is None


def test_a_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_lines(tmp_path / "none.jsonl"))
    with pytest.raises(FileNotFoundError):
        list(read_events([tmp_path / "none.jsonl"]))
