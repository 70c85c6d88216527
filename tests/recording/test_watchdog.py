"""A training whose steps do not end, with a clock of the test's own."""

import threading
import time

import pytest

from rldk.recording.disk import Disk, Job
from rldk.recording.stack_location import StackLocation
from rldk.recording.watchdog import Patience, StallRecord, Watchdog
from rldk.runs.side_files import observation
from rldk.schema.crash_file import read_crash

PATIENCE = Patience(steps=10, least=300, first=1800, slow=3600)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dog(clock):
    return Watchdog(print, lambda: None, PATIENCE, clock)


def trained(dog, clock, steps=20, seconds=2.0):
    """So many steps, each with a sign of life in its midst."""
    for step in range(1, steps + 1):
        clock.now += seconds / 2
        dog.beat()
        clock.now += seconds / 2
        dog.beat(step)


def test_a_stall_is_told_once_an_episode(dog, clock):
    trained(dog, clock)
    clock.now += 299
    assert dog.look() is None
    clock.now += 2
    stall = dog.look()
    assert (stall.step, stall.stalled_seconds, stall.usual_seconds) == (20, 301.0, 2.0)
    clock.now += 10_000
    assert dog.look() is None
    dog.beat(21)
    assert dog.look() is None
    clock.now += 302
    assert dog.look().step == 21


def test_ten_usual_steps_are_waited_for(dog, clock):
    trained(dog, clock, seconds=100.0)
    clock.now += 999
    assert dog.look() is None
    clock.now += 2
    assert dog.look().usual_seconds == 100


def test_signs_of_life_within_a_step_are_no_stall(dog, clock):
    trained(dog, clock)
    for _ in range(100):
        clock.now += 250
        dog.beat()
        assert dog.look() is None


def test_the_first_steps_may_take_half_an_hour(dog, clock):
    dog.beat()
    clock.now += 1799
    assert dog.look() is None
    clock.now += 2
    assert dog.look().usual_seconds is None


def test_a_machine_that_was_suspended_is_no_stall(dog, clock):
    trained(dog, clock)
    clock.now += 100_000
    dog.slept(100_000)
    assert dog.look() is None
    clock.now += 301
    assert dog.look() is not None
    clock.now += 100_000
    dog.slept(100_000)
    assert dog.look() is None  # the same episode


def within(stack, call):
    """Call `call` from within functions of these names and modules, the innermost last."""
    for name, file in reversed(stack):
        namespace = {"inner": call, "__name__": file.removesuffix(".py").replace("/", ".")}
        exec(compile(f"def {name}():\n    inner()", file, "exec"), namespace)
        call = namespace[name]
    call()


def looking_from(dog, *frames):
    """What the watchdog sees while the thread that made it is in these functions, the innermost last."""
    seen = []

    def look():
        thread = threading.Thread(target=lambda: seen.append(dog.look()))
        thread.start()
        thread.join()

    within(frames, look)
    return seen[0]


@pytest.mark.parametrize("name", ["_save_checkpoint", "evaluate", "push_to_hub"])
def test_an_evaluation_or_a_save_may_take_an_hour(name, dog, clock):
    trained(dog, clock)
    clock.now += 3599
    assert looking_from(dog, (name, "transformers/trainer.py")) is None
    clock.now += 2
    stall = looking_from(dog, (name, "transformers/trainer.py"))
    assert stall.location.during in ("a save", "an evaluation")


CALLBACK = (("call_event", "transformers/trainer_callback.py"), ("on_step_end", "bench.py"))


def test_a_callback_may_take_an_hour(dog, clock):
    trained(dog, clock)
    clock.now += 3599
    assert looking_from(dog, *CALLBACK) is None
    clock.now += 2
    assert looking_from(dog, *CALLBACK).location.during == "the callback on_step_end"


@pytest.mark.parametrize("slow", [CALLBACK, [("evaluate", "transformers/trainer.py")]])
def test_what_follows_a_slow_callback_is_not_late_for_the_time_that_it_took(slow, dog, clock):
    trained(dog, clock)
    clock.now += 900
    assert looking_from(dog, *slow) is None
    clock.now += 299  # the batch of the next step is fetched, before a hook tells of the step
    assert looking_from(dog, ("_next_data", "torch/utils/data/dataloader.py")) is None
    clock.now += 2
    assert looking_from(dog, ("_next_data", "torch/utils/data/dataloader.py")).stalled_seconds == 1201


def test_a_suspended_machine_makes_nothing_late_after_a_slow_callback(dog, clock):
    trained(dog, clock)
    clock.now += 900
    assert looking_from(dog, *CALLBACK) is None
    clock.now += 100_000
    dog.slept(100_000)
    clock.now += 299
    assert looking_from(dog, ("_next_data", "torch/utils/data/dataloader.py")) is None


def test_a_sign_of_life_while_it_looks_is_none_too_late(dog, clock, monkeypatch):
    trained(dog, clock)
    clock.now += 301
    frames = dog._frames
    monkeypatch.setattr(dog, "_frames", lambda: [dog.beat(), frames()][1])
    assert dog.look() is None


TRAIN = ("train", "transformers/trainer.py")


def test_a_training_within_a_callback_of_another_has_a_patience_of_its_own(clock):
    dogs, seen, over = [], [], []

    def begin():
        dogs.append(Watchdog(print, lambda: None, PATIENCE, clock))
        trained(dogs[-1], clock)

    def hang():
        clock.now += 301
        thread = threading.Thread(target=lambda: seen.extend(dog.look() for dog in dogs))
        thread.start()
        thread.join()

    def train_inner():
        begin()
        within([("judge", "rewards.py")], hang)

    def callback():
        within([TRAIN], train_inner)
        over.extend(dog.is_over() for dog in dogs)

    def train_outer():
        begin()
        within(CALLBACK, callback)

    within([TRAIN], train_outer)
    outer, inner = seen
    assert outer is None
    assert (inner.stalled_seconds, inner.location.during) == (301, None)
    assert over == [False, True]


def test_it_says_where_the_training_hangs(dog, clock):
    trained(dog, clock)
    clock.now += 301
    stall = looking_from(dog, ("_calculate_rewards", "trl/trainer/grpo_trainer.py"), ("judge", "rewards.py"))
    assert stall.location.activity == "the reward function judge (rewards.py:2)"


def test_a_training_that_ended_without_a_word_does_not_stall(dog, clock):
    dog._depth = 1  # it was made within a training loop, and this is none
    trained(dog, clock)
    clock.now += 10_000
    assert dog.look() is None


def test_a_training_that_ended_without_a_word_is_watched_no_more_and_that_is_told():
    over = threading.Event()
    dog = Watchdog(print, lambda: None, Patience(tick=0.01), on_over=over.set)
    dog.start()
    assert not over.wait(0.1)
    dog._depth = 1
    assert over.wait(60)
    dog._thread.join(60)
    assert not dog._thread.is_alive()


def test_the_stacks_are_written_and_then_it_is_told(tmp_path):
    told = threading.Event()
    stalls = []
    path = tmp_path / "r_crash.txt"

    def tell(stall):
        stalls.append((stall, path.read_text()))
        told.set()

    dog = Watchdog(tell, lambda: path, Patience(steps=1, least=0.05, first=0.05, tick=0.02))
    dog.beat(7)
    dog.start()
    assert told.wait(60)
    dog.stop()
    ((stall, text),) = stalls
    assert stall.step == 7
    assert "=== rldk: no step has ended for 0 s after step 7" in text
    assert "test_the_stacks_are_written_and_then_it_is_told" in text
    assert read_crash(path) is None  # no end


def test_on_a_disk_that_hangs_a_stall_is_told_at_once_and_its_stacks_are_of_that_moment(tmp_path):
    told, answers = threading.Event(), threading.Event()
    path, disk = tmp_path / "r_crash.txt", Disk()
    disk.run(Job(answers.wait), 0)
    patience = Patience(steps=1, least=0.05, first=0.05, tick=0.02)
    dog = Watchdog(lambda _: told.set(), lambda: path, patience, disk=disk)

    def hang_in_a_reward_function():
        dog.start()
        assert told.wait(60)

    hang_in_a_reward_function()
    dog.stop()
    assert not dog._thread.is_alive()
    assert not path.exists()
    answers.set()
    assert disk.settle(60)
    assert "in hang_in_a_reward_function" in path.read_text()


def test_a_stall_without_a_name_for_its_file_or_that_nobody_can_be_told_ends_nothing(tmp_path):
    tried = []

    def fail(stall):
        tried.append(stall)
        raise ValueError("boom")

    dog = Watchdog(fail, lambda: None, Patience(steps=1, least=0.02, first=0.02, tick=0.01))
    dog.start()
    until = time.monotonic() + 30
    for count in (1, 2):
        while len(tried) < count and time.monotonic() < until:
            time.sleep(0.01)
        dog.beat(count)
    dog.stop()
    assert not dog._thread.is_alive()


def test_a_line_is_what_a_monitor_is_told():
    place = StackLocation(where="get (api.py:3)", activity="the reward function judge (rewards.py:7)")
    stall = StallRecord(step=7, time=1.0, stalled_seconds=301.0, usual_seconds=2.0, location=place)
    at = observation(stall.line())
    assert (at.kind, at.step) == ("stall", 7)
    assert at.values["stalled_seconds"] == 301
    assert at.detail["activity"] == place.activity


def test_nothing_is_reported_while_the_function_that_trains_does_not_run(clock):
    def looked(function):
        dog = Watchdog(print, lambda: None, PATIENCE, clock, function=function)
        trained(dog, clock)
        clock.now += 302
        return dog.look()

    here = "test_nothing_is_reported_while_the_function_that_trains_does_not_run"
    assert looked((here, __file__)).step == 20
    assert looked(("main", __file__)) is None


@pytest.mark.parametrize(
    ("name", "during"),
    [
        ("evaluate_policy", "an evaluation"),
        ("_validate", "an evaluation"),
        ("test_model", "an evaluation"),
        ("save_checkpoint", "a save"),
        ("generate_rollouts", "generation"),
    ],
)
def test_the_evaluation_or_save_of_an_own_loop_may_take_an_hour(name, during, clock):
    dog = Watchdog(print, lambda: None, PATIENCE, clock, function=("main", "script.py"))
    trained(dog, clock)
    clock.now += 3599
    assert looking_from(dog, ("main", "script.py"), (name, "script.py")) is None
    clock.now += 2
    assert looking_from(dog, ("main", "script.py"), (name, "script.py")).location.during == during


def test_an_own_evaluation_that_hangs_in_a_collective_is_a_stall_at_once(clock):
    dog = Watchdog(print, lambda: None, PATIENCE, clock, function=("main", "script.py"))
    trained(dog, clock)
    clock.now += 302
    collective = ("all_reduce", "torch/distributed/distributed_c10d.py")
    stall = looking_from(dog, ("main", "script.py"), ("evaluate", "script.py"), collective)
    assert (stall.location.activity, stall.location.during) == ("a collective of the ranks", None)


def test_what_calls_an_own_loop_is_no_evaluation(clock):
    dog = Watchdog(print, lambda: None, PATIENCE, clock, function=("main", "script.py"))
    trained(dog, clock)
    clock.now += 302
    assert looking_from(dog, ("test_everything", "suite.py"), ("main", "script.py")).location.during is None
