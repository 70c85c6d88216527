"""Which run a starting training records."""

import json
import os

import pytest

from events import event, lines, resumed, write_run
from processes import hold_lock
from rldk.lock import RunLock, is_locked
from rldk.recording.claim import claim
from rldk.runs.event_reader import last_event
from rldk.schema.files import RunFiles, safe_run_id

DIR = "/home/me/out"


@pytest.fixture
def take(tmp_path):
    """`claim` in the test's folder; the locks are freed at the end."""
    taken = []

    def take(run_id=None, *, default="default", trainer_dir=DIR, from_step=0, logging_steps=1):
        taken.append(
            claim(
                tmp_path,
                run_id,
                default=default,
                trainer_dir=trainer_dir,
                from_step=from_step,
                logging_steps=logging_steps,
            )
        )
        return taken[-1]

    yield take
    for one in taken:
        one.lock.release()


def earlier(folder, run_id, *steps, trainer_dir=DIR, age=0):
    """A run that ended `age` seconds ago."""
    files = write_run(folder, *map(event, steps), run_id=run_id)
    files.run.write_text(json.dumps({"trainer_dir": trainer_dir, "name": run_id.removesuffix("-2")}))
    for path in files.existing():
        os.utime(path, (1e9 - age, 1e9 - age))
    return files


def warned(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_new_run_gets_the_name_that_was_asked_for_and_its_lock(take, tmp_path, caplog):
    found = take("mine")
    assert found.files == RunFiles(tmp_path, "mine")
    assert not found.resumed
    assert is_locked(found.files.lock)
    assert warned(caplog) == []


def test_without_a_name_the_trainers_is_taken(take):
    assert take(default="its name").files.run_id == "its name"


def test_a_folder_that_does_not_exist_is_made(tmp_path):
    found = claim(tmp_path / "a" / "b", "mine", default="x", trainer_dir=DIR, from_step=0)
    assert is_locked(found.files.lock)
    found.lock.release()


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    found = claim(tmp_path / "file", "mine", default="x", trainer_dir=DIR, from_step=0)
    assert found.files.run_id == "mine"


def test_a_name_that_is_taken_gets_a_number_and_one_warning(take, tmp_path, caplog):
    old = earlier(tmp_path, "mine", 1, 2)
    before = old.events.read_bytes()
    assert take("mine").files.run_id == "mine-2"
    (warning,) = warned(caplog)
    assert "'mine' is taken" in warning
    assert "mine-2" in warning
    assert old.events.read_bytes() == before


@pytest.mark.parametrize("kind", ["run", "alerts", "final_report", "metrics_csv", "metrics_json", "events"])
def test_any_file_of_a_run_takes_its_name(take, tmp_path, kind):
    getattr(RunFiles(tmp_path, "mine"), kind).write_text("")
    assert take("mine").files.run_id == "mine-2"


def test_numbers_that_are_taken_are_passed_over(take, tmp_path):
    for name in ("mine", "mine-2", "mine-4"):
        earlier(tmp_path, name, 1)
    assert take("mine").files.run_id == "mine-3"
    assert take("mine").files.run_id == "mine-5"


def test_a_name_that_a_live_process_holds_gets_a_number(take, tmp_path, caplog):
    with hold_lock(RunFiles(tmp_path, "mine").lock) as process:
        assert process.stdout.readline() == "held\n"
        assert take("mine").files.run_id == "mine-2"
        assert len(warned(caplog)) == 1


def test_a_name_whose_process_died_before_it_wrote_anything_is_free(take, tmp_path):
    with hold_lock(RunFiles(tmp_path, "mine").lock) as process:
        assert process.stdout.readline() == "held\n"
    assert take("mine").files.run_id == "mine"


def test_two_live_runs_of_one_name_get_two_names(take):
    first, second = take("mine"), take("mine")
    assert (first.files.run_id, second.files.run_id) == ("mine", "mine-2")
    assert is_locked(first.files.lock)
    assert is_locked(second.files.lock)


def test_asking_for_a_taken_name_leaves_the_other_run_unlocked(take, tmp_path):
    old = earlier(tmp_path, "mine", 1)
    take("mine")
    assert not is_locked(old.lock)


@pytest.mark.parametrize(
    "name",
    ["a/b", "my run", "v1.2", "..", "../up", "läuft", "🚀", "x" * 300, "", "a\0", "\ud800", "-rf", ".hidden"],
)
def test_any_name_gives_files_in_the_folder_itself(take, tmp_path, caplog, name):
    found = take(name)
    assert found.files.run_id == safe_run_id(name)
    assert found.files.events.parent == tmp_path
    found.files.events.write_bytes(lines(event(1)))
    found.files.run.write_text("{}")
    names = [path.name for path in tmp_path.iterdir()]
    assert found.files.events.name in names
    assert found.files.run.name in names
    assert len(warned(caplog)) == (found.files.run_id != name)
    again = take(name)
    assert again.files.run_id == f"{safe_run_id(name)}-2"


# Resumes.


def test_a_resume_by_name_goes_on_in_the_run_of_that_name(take, tmp_path, caplog):
    earlier(tmp_path, "mine", 1, 2, 3, trainer_dir="/elsewhere")
    earlier(tmp_path, "other", 1, 2, 3)
    found = take("mine", from_step=3)
    assert found.resumed
    assert found.files.run_id == "mine"
    assert is_locked(found.files.lock)
    assert warned(caplog) == []


def test_a_resume_without_a_name_goes_on_in_the_newest_run_of_the_trainers_folder(take, tmp_path):
    earlier(tmp_path, "older", 1, 2, 3, age=100)
    earlier(tmp_path, "newest", 1, 2, 3, age=50)
    earlier(tmp_path, "elsewhere", 1, 2, 3, trainer_dir="/elsewhere")
    assert take(from_step=3).files.run_id == "newest"


def test_a_resume_prefers_the_run_that_reached_the_step(take, tmp_path):
    earlier(tmp_path, "mine", *range(1, 101), age=100)
    earlier(tmp_path, "mine-2", 1, 2, 3, age=50)
    assert take("mine", from_step=50).files.run_id == "mine"
    assert take(from_step=2).files.run_id == "mine-2"  # both reached it: the newest; the other is held


def test_a_run_reached_a_checkpoint_that_lies_between_two_of_its_records(take, tmp_path):
    earlier(tmp_path, "mine", 10, 20, age=100)
    earlier(tmp_path, "mine-2", 10, age=50)
    assert take("mine", from_step=25, logging_steps=10).files.run_id == "mine"


def test_a_resume_of_a_run_that_another_process_records_goes_elsewhere_and_says_so(take, tmp_path, caplog):
    old = earlier(tmp_path, "mine", 1, 2, 3)
    with hold_lock(old.lock) as process:
        assert process.stdout.readline() == "held\n"
        found = take("mine", from_step=2)
    assert not found.resumed
    assert found.files.run_id == "mine-2"
    assert "recorded by another process" in warned(caplog)[0]


def test_a_resume_of_an_unknown_run_begins_a_new_one(take):
    found = take("mine", from_step=7)
    assert not found.resumed
    assert found.files.run_id == "mine"


def test_a_resume_takes_no_run_of_another_name(take, tmp_path):
    for name in ("mine2", "mine-x", "my-mine", "mine-2-3"):
        earlier(tmp_path, name, 1, 2, 3)
    assert take("mine", from_step=2).files.run_id == "mine"


def test_a_run_without_events_can_be_resumed(take, tmp_path):
    files = RunFiles(tmp_path, "mine")
    files.run.write_text(json.dumps({"trainer_dir": DIR, "name": "mine"}))
    found = take(from_step=5)
    assert found.resumed
    assert found.files.run_id == "mine"


def test_a_resumed_run_counts_as_far_as_its_newest_attempt_got(take, tmp_path):
    write_run(tmp_path, event(50), resumed(11, 10), event(12), run_id="mine")
    earlier(tmp_path, "mine-2", 30, age=1000)
    assert take("mine", from_step=30).files.run_id == "mine-2"


@pytest.mark.parametrize("damage", ["folder", "garbage", "truncated gzip", "run.json"])
def test_a_damaged_run_in_the_folder_is_no_obstacle(take, tmp_path, damage):
    files = RunFiles(tmp_path, "mine-2")
    if damage == "folder":
        files.events.mkdir()
    elif damage == "garbage":
        files.events.write_bytes(b"\xff\0{")
    elif damage == "truncated gzip":
        (tmp_path / "mine-2_events.0001.jsonl.gz").write_bytes(b"\x1f\x8b\x08")
    else:
        files.run.write_bytes(b"\xff{")
    earlier(tmp_path, "mine", 1, 2, 3)
    assert take("mine", from_step=3).files.run_id == "mine"
    assert take(from_step=3).files.run_id == "default"


def test_a_lock_that_was_freed_can_be_taken_again(take):
    found = take("mine")
    found.lock.release()
    assert not is_locked(found.files.lock)
    lock = RunLock.acquire(found.files.lock)
    assert lock is not None
    lock.release()


def test_a_resume_of_another_trainer_does_not_join_a_run_of_the_name_that_never_got_there(tmp_path, take):
    earlier(tmp_path, "r", *range(1, 9), trainer_dir="/a")
    assert take("r", trainer_dir="/b", from_step=15).files.run_id == "r-2"


def test_a_resume_in_another_folder_goes_on_in_the_run_of_the_name_that_got_there(tmp_path, take):
    earlier(tmp_path, "r", *range(1, 9), trainer_dir="/a")
    assert take("r", trainer_dir="/b", from_step=8).files.run_id == "r"


def test_a_run_that_the_user_named_with_a_number_is_another_run(tmp_path, take):
    earlier(tmp_path, "exp", *range(1, 9), trainer_dir="/a", age=100)
    other = earlier(tmp_path, "exp-2", *range(1, 9), trainer_dir="/b")
    other.run.write_text(json.dumps({"trainer_dir": "/b", "name": "exp-2"}))
    assert take("exp", trainer_dir="/a", from_step=6).files.run_id == "exp"
    assert take("exp-2", trainer_dir="/b", from_step=6).files.run_id == "exp-2"


def test_a_resume_whose_run_another_process_records_joins_no_other_run(tmp_path, take):
    earlier(tmp_path, "exp", *range(1, 9), age=100)
    earlier(tmp_path, "exp-2", *range(1, 9))
    held = RunLock.acquire(RunFiles(tmp_path, "exp-2").lock)
    assert take("exp", from_step=6).files.run_id == "exp-3"
    held.release()


# Which of several runs a resume goes on with; the order is that of docs/files.md.


def test_a_run_of_the_trainers_folder_comes_before_one_of_another_that_is_newer(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15), trainer_dir="/seed1")
    earlier(tmp_path, "r-2", *range(1, 8), trainer_dir="/seed2", age=100)
    assert take("r", trainer_dir="/seed2", from_step=4).files.run_id == "r-2"


def test_a_run_of_the_trainers_folder_comes_first_though_a_full_disk_kept_its_last_records(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15), trainer_dir="/seed1")
    earlier(tmp_path, "r-2", 1, 2, trainer_dir="/seed2", age=100)
    assert take("r", trainer_dir="/seed2", from_step=4).files.run_id == "r-2"


def test_the_live_run_of_another_training_is_no_obstacle(take, tmp_path, caplog):
    live = earlier(tmp_path, "r", *range(1, 15), trainer_dir="/seed1")
    earlier(tmp_path, "r-2", *range(1, 8), trainer_dir="/seed2", age=100)
    with hold_lock(live.lock) as process:
        assert process.stdout.readline() == "held\n"
        assert take("r", trainer_dir="/seed2", from_step=4).files.run_id == "r-2"
    assert warned(caplog) == []


def test_of_the_runs_of_a_moved_folder_the_newest_that_no_process_records_is_taken(take, tmp_path, caplog):
    live = earlier(tmp_path, "r", *range(1, 15), trainer_dir="/a")
    earlier(tmp_path, "r-2", *range(1, 8), trainer_dir="/b", age=100)
    earlier(tmp_path, "r-3", *range(1, 8), trainer_dir="/c", age=50).run.write_text(
        json.dumps({"trainer_dir": "/c", "name": "r"})
    )
    with hold_lock(live.lock) as process:
        assert process.stdout.readline() == "held\n"
        assert take("r", trainer_dir="/moved", from_step=4).files.run_id == "r-3"
        assert take("r", trainer_dir="/moved", from_step=4).files.run_id == "r-2"
        assert take("r", trainer_dir="/moved", from_step=4).files.run_id == "r-4"  # none is left


@pytest.mark.parametrize("damage", ["empty", "missing", "not JSON", "a list", "of another type", "deep"])
@pytest.mark.parametrize("run_id", ["r", None])
def test_a_run_that_lost_its_description_comes_before_one_that_trained_elsewhere(
    take, tmp_path, damage, run_id
):
    earlier(tmp_path, "r", *range(1, 15), trainer_dir="/seed1")
    lost = earlier(tmp_path, "r-2", *range(1, 8), trainer_dir="/seed2", age=100)
    if damage == "missing":
        lost.run.unlink()
    else:
        texts = {"empty": "", "not JSON": "{", "a list": "[]", "of another type": '{"trainer_dir": 5}'}
        texts["deep"] = '{"attempts": ' + "[" * 100_000
        lost.run.write_text(texts[damage])
    found = take(run_id, default="r", trainer_dir="/seed2", from_step=4)
    assert (found.files.run_id, found.resumed) == ("r-2", True)


def test_a_run_that_lost_its_description_comes_after_one_of_the_trainers_folder(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15), age=100)
    earlier(tmp_path, "r-2", *range(1, 15)).run.write_text("")
    assert take("r", from_step=4).files.run_id == "r"


def test_a_run_that_lost_its_description_and_never_got_there_is_another_run(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 4)).run.write_text("")
    assert take("r", from_step=8).files.run_id == "r-2"


def test_a_run_that_lost_its_description_and_never_got_there_hides_none_that_did(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15), trainer_dir="/old")
    earlier(tmp_path, "r-2", 1).run.write_text("")
    assert take("r", trainer_dir="/moved", from_step=4).files.run_id == "r"


def test_a_run_that_lost_its_description_is_known_by_where_it_saved(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15), age=100)  # an earlier training in the same folder
    lost = earlier(tmp_path, "r-2", *range(1, 8))
    lost.run.write_text("")
    line = {"kind": "checkpoint", "step": 4, "analysis": {"path": f"{DIR}/checkpoint-4"}}
    lost.checkpoints.write_text(json.dumps(line) + "\n")
    assert take(from_step=4).files.run_id == "r-2"


def test_a_folder_that_is_asked_for_by_a_symlink_is_the_same_folder(take, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "latest").symlink_to("out")
    earlier(tmp_path, "r", 1, 2, 3, trainer_dir=str(tmp_path / "out"))
    assert take(trainer_dir=str(tmp_path / "latest"), from_step=3).files.run_id == "r"


def test_a_folder_that_was_moved_and_left_a_symlink_is_the_same_folder(take, tmp_path):
    earlier(tmp_path, "r", 1, 2, 3, trainer_dir=str(tmp_path / "out"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").symlink_to("scratch")
    assert take(trainer_dir=str(tmp_path / "out"), from_step=3).files.run_id == "r"


def test_an_export_of_an_old_run_does_not_make_it_the_newest(take, tmp_path):
    old = earlier(tmp_path, "r", *range(1, 15), age=100)
    earlier(tmp_path, "r-2", *range(1, 15), age=50)
    old.metrics_csv.write_text("")
    assert take("r", from_step=4).files.run_id == "r-2"


def test_a_run_can_be_asked_for_by_the_name_of_its_files(take, tmp_path):
    earlier(tmp_path, "r", *range(1, 15))
    earlier(tmp_path, "r-2", *range(1, 15), age=100)
    assert take("r-2", from_step=4).files.run_id == "r-2"


def test_a_run_of_an_rldk_that_wrote_no_name_is_known_by_its_files(take, tmp_path):
    earlier(tmp_path, "r-2", *range(1, 15)).run.write_text(json.dumps({"trainer_dir": DIR}))
    assert take("r", from_step=4).files.run_id == "r-2"


def test_a_part_that_was_compressed_since_the_folder_was_listed_is_read_all_the_same(
    take, tmp_path, monkeypatch
):
    earlier(tmp_path, "r", *range(1, 15), age=50)
    earlier(tmp_path, "r-2", *range(1, 3))

    def vanished(parts):
        raise FileNotFoundError(parts)

    monkeypatch.setattr("rldk.recording.claim.last_event", vanished)
    assert take("r", from_step=4).files.run_id == "r"


@pytest.mark.parametrize("run_id", ["r", None])
def test_a_resume_among_many_runs_lists_the_folder_once_and_reads_the_newest_alone(
    take, tmp_path, monkeypatch, run_id
):
    for number in range(2, 42):
        files = earlier(tmp_path, f"r-{number}", *range(1, 15), age=100 - number)
        files.run.write_text(json.dumps({"trainer_dir": DIR, "name": "r"}))
        os.utime(files.run, (1e9 - 100 + number,) * 2)
    looks, reads = [], []
    for name in ("listdir", "scandir"):
        look = getattr(os, name)
        monkeypatch.setattr(os, name, lambda folder=".", look=look: looks.append(folder) or look(folder))
    monkeypatch.setattr(
        "rldk.recording.claim.last_event", lambda parts: reads.append(parts) or last_event(parts)
    )
    assert take(run_id, from_step=4).files.run_id == "r-41"
    assert looks == [tmp_path]
    assert reads == [[RunFiles(tmp_path, "r-41").events]]


def test_a_name_that_many_runs_have_costs_one_look_at_the_folder(take, tmp_path, monkeypatch):
    for number in range(1, 51):
        RunFiles(tmp_path, "mine" if number == 1 else f"mine-{number}").run.write_text("{}")
    acquire, asked, listdir, looks = RunLock.acquire, [], os.listdir, []
    monkeypatch.setattr(RunLock, "acquire", lambda path: asked.append(path) or acquire(path))
    monkeypatch.setattr("os.listdir", lambda folder: looks.append(folder) or listdir(folder))
    assert take("mine").files.run_id == "mine-51"
    assert asked == [RunFiles(tmp_path, "mine-51").lock]
    assert len(looks) == 2  # the numbers that are taken, and whether this one was taken meanwhile


def test_a_run_that_appears_after_the_look_is_not_joined(take, tmp_path, monkeypatch):
    monkeypatch.setattr("rldk.recording.claim._taken", lambda *_: set())
    earlier(tmp_path, "mine", 1)
    assert take("mine").files.run_id == "mine-2"
