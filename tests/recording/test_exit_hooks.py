"""Hooks and handlers that are chained, in processes of their own."""

import signal
import time

import pytest

from processes import run_script, script

PREAMBLE = """
import ctypes, os, signal, sys, threading, time
from rldk.recording import exit_hooks
from rldk.recording.exit_hooks import ExitHooks

def say(what):
    return lambda *_: os.write(1, f"{what}\\n".encode())

def make(**told):
    names = ("on_error", "on_signal", "on_notice")
    made = ExitHooks(**{name: told.get(name, say(name)) for name in names})
    made.install()
    return made
"""


def ran(code):
    return run_script(PREAMBLE + code)


def test_an_exception_is_told_before_it_is_printed_as_ever():
    result = ran("""
before = sys.excepthook
sys.excepthook = lambda *error: (say("the user's")(), before(*error))
made = make()
raise ValueError("boom")
""")
    assert result.stdout == "on_error\nthe user's\n"
    assert result.returncode == 1
    assert result.stderr.endswith("ValueError: boom\n")
    assert result.stderr.count("Traceback") == 1


def test_a_hook_that_fails_is_not_seen():
    result = ran("made = make(on_error=lambda error: 1 / 0)\nraise ValueError('boom')")
    assert result.returncode == 1
    assert "ZeroDivisionError" not in result.stderr
    assert result.stderr.endswith("ValueError: boom\n")


def test_a_disk_that_hangs_does_not_hide_the_exception():
    result = ran("""
exit_hooks.DYING_SECONDS = 0.2
made = make(on_error=lambda error: time.sleep(600))
raise ValueError("boom")
""")
    assert result.returncode == 1
    assert result.stderr.endswith("ValueError: boom\n")


def test_an_exception_that_python_ignores_is_remembered_and_shown_as_ever():
    result = ran("""
class Odd:
    def __del__(self):
        raise ValueError("in a destructor")

made = make()
for _ in range(9):
    Odd()
print(list(made.ignored))
""")
    assert eval(result.stdout.splitlines()[0]) == ["ValueError: in a destructor"] * 5
    assert result.stderr.count("ValueError: in a destructor") == 9


def test_everything_is_put_back():
    result = ran("""
hooks = lambda: (sys.excepthook, sys.unraisablehook, *map(signal.getsignal, exit_hooks.SIGNALS))
before = hooks()
made = make()
assert hooks() != before
made.uninstall()
made.uninstall()
assert hooks() == before
assert signal.set_wakeup_fd(-1) == -1
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_nobody_listens_on_when_everything_is_put_back():
    result = ran("""
close = os.close

def close_slowly(end):
    if threading.current_thread().name == "rldk-signals":
        time.sleep(0.2)
    close(end)

made = make()
assert len(threading.enumerate()) == 2
os.close = close_slowly
made.uninstall()
assert len(threading.enumerate()) == 1
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_who_came_later_stays_and_is_passed_on_to():
    result = ran("""
made = make()
ours = sys.excepthook
sys.excepthook = later = lambda *error: (say("later")(), ours(*error))
signal.signal(signal.SIGTERM, handler := lambda *_: say("handler")())
made.uninstall()
assert sys.excepthook is later and signal.getsignal(signal.SIGTERM) is handler
os.kill(os.getpid(), signal.SIGTERM)
raise ValueError("boom")
""")
    assert result.stdout == "handler\nlater\n"
    assert result.stderr.endswith("ValueError: boom\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_is_told_and_kills_as_ever(name):
    result = ran(f"made = make()\nos.kill(os.getpid(), signal.{name})\ntime.sleep(60)")
    assert result.stdout == "on_signal\n"
    assert result.returncode == -getattr(signal, name)
    assert result.stderr == ""


def test_a_signal_that_is_ignored_stays_ignored():
    result = ran("""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
made = make()
os.kill(os.getpid(), signal.SIGHUP)
""")
    assert (result.returncode, result.stdout) == (0, "")


def test_a_handler_of_the_user_decides():
    result = ran("""
signal.signal(signal.SIGTERM, say("handler"))
made = make()
os.kill(os.getpid(), signal.SIGTERM)
""")
    assert (result.returncode, result.stdout) == (0, "on_notice\nhandler\n")


def test_two_of_us_are_both_told():
    result = ran("""
first, second = make(on_signal=say("first")), make(on_signal=say("second"))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
""")
    assert result.returncode == -signal.SIGTERM
    assert sorted(result.stdout.split()) == ["first", "second"]


def test_a_lock_that_the_interrupted_thread_holds_does_not_keep_it_alive():
    result = ran("""
exit_hooks.DYING_SECONDS = 0.5
lock = threading.Lock()

def wait_for_it(_):
    say("begun")()
    lock.acquire()

made = make(on_signal=wait_for_it)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "begun\n")


def test_a_signal_that_comes_again_later_ends_it_at_once():
    code = (
        PREAMBLE
        + """
exit_hooks.SAME_SECONDS, exit_hooks.DYING_SECONDS = 0, 600
made = make(on_signal=lambda _: (say("first")(), time.sleep(60)))
print("ready", flush=True)
time.sleep(60)
"""
    )
    with script(code) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "first\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM


def test_two_signals_at_once_are_one():
    result = ran("""
exit_hooks.SAME_SECONDS = 600

def slowly(signum):
    os.kill(os.getpid(), signum)
    time.sleep(0.5)  # the main thread comes to it
    say("all written")()

made = make(on_signal=slowly)
os.kill(os.getpid(), signal.SIGTERM)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "all written\n")


HANG = """
mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
exit_hooks.GRACE_SECONDS = 0.2
print("ready", flush=True)
libc.pthread_mutex_lock(mutex)  # no signal interrupts this
"""


def test_a_process_that_hangs_in_c_dies_of_a_signal_all_the_same():
    with script(PREAMBLE + "made = make()\n" + HANG) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)  # until it hangs
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        assert process.stdout.readline() == "on_signal\n"


@pytest.mark.parametrize(("same", "told"), [(600, ["all written\n"]), (0, [])])
def test_a_process_that_hangs_in_c_writes_on_until_a_signal_comes_again_later(same, told):
    begin = f"""
exit_hooks.SAME_SECONDS, exit_hooks.DYING_SECONDS = {same}, 600
made = make(on_signal=lambda _: (say("begun")(), time.sleep({1 if same else 600}), say("all written")()))
"""
    with script(PREAMBLE + begin + HANG) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)  # until it hangs
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        assert process.stdout.readlines() == told


def test_what_is_being_written_is_written_before_a_signal_ends_the_process():
    result = ran("""
made = make()
with made.undisturbed():
    os.kill(os.getpid(), signal.SIGTERM)
    say("written")()
say("never")()
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "written\non_signal\n")


@pytest.mark.parametrize(("same", "told"), [(600, "written\non_signal\n"), (0, "")])
def test_what_is_being_written_waits_for_no_signal_that_comes_again_later(same, told):
    result = ran(f"""
exit_hooks.SAME_SECONDS = {same}
made = make()
with made.undisturbed():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    say("written")()
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, told)


def test_a_signal_ends_a_process_whose_exception_waits_for_a_disk_that_hangs():
    result = ran("""
exit_hooks.GRACE_SECONDS, exit_hooks.DYING_SECONDS = 0.2, 1

def note(error):
    with made.undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)

made = make(on_error=note)
made._error_wait_s = lambda: 600
raise ValueError("boom")
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "on_signal\n")


def test_what_one_thread_writes_is_written_though_another_has_written_its_own():
    result = ran("""
made = make()
with made.undisturbed():
    os.kill(os.getpid(), signal.SIGTERM)
    def write():
        with made.undisturbed():
            pass
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    say("written")()
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "written\non_signal\n")


def test_what_is_written_for_longer_than_the_grace_is_written():
    result = ran("""
exit_hooks.GRACE_SECONDS = 0.1
made = make()
with made.undisturbed():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1.5)
    say("written")()
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "on_signal\nwritten\n")


def test_a_signal_that_waited_ends_the_process_though_the_hooks_are_gone():
    result = ran("""
exit_hooks.GRACE_SECONDS, exit_hooks.DYING_SECONDS = 0.5, 0.5
made = make()

def write():
    with made.undisturbed():
        time.sleep(600)

threading.Thread(target=write, daemon=True).start()
while not made._blocks:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGTERM)
while made._woken_at is None:
    time.sleep(0.01)
made.uninstall()
time.sleep(600)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "")


def test_a_forked_child_is_as_without_us():
    result = ran("""
made = make()
if (child := os.fork()) == 0:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    raise ValueError("of the child")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
if (child := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "on_signal\n")


def test_an_event_loop_that_listens_already_goes_on_listening():
    result = ran("""
import socket
mine, other = socket.socketpair()
other.setblocking(False)
signal.set_wakeup_fd(other.fileno())
made = make()
made.uninstall()
assert signal.set_wakeup_fd(-1) == other.fileno()
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_outside_the_main_thread_signals_are_left_alone():
    result = ran("""
thread = threading.Thread(target=make)
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
raise ValueError("boom")
""")
    assert result.stdout == "on_error\n"


# Somebody who comes after us.


@pytest.mark.parametrize("ended", ["", "made.uninstall()"])
def test_a_later_handler_that_calls_the_one_before_decides(ended):
    result = ran(f"""
made = make()
before = signal.getsignal(signal.SIGTERM)

def later(signum, frame):
    say("later")()
    if callable(before):
        before(signum, frame)

signal.signal(signal.SIGTERM, later)
{ended}
os.kill(os.getpid(), signal.SIGTERM)
say("on it goes")()
""")
    noticed = [] if ended else ["on_notice"]
    assert (result.returncode, result.stdout.split("\n")[:-1]) == (0, ["later", *noticed, "on it goes"])


def test_a_later_handler_that_puts_back_the_one_before_and_sends_the_signal_again_ends_the_process():
    result = ran("""
made = make()
before = signal.getsignal(signal.SIGTERM)
signal.signal(
    signal.SIGTERM, lambda *_: (signal.signal(signal.SIGTERM, before), os.kill(os.getpid(), signal.SIGTERM))
)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "on_signal\n")


def test_a_handler_between_two_of_us_decides_for_both():
    result = ran("""
first = make(on_notice=say("first"))
before = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *received: (say("between")(), before(*received)))
second = make(on_notice=say("second"))
os.kill(os.getpid(), signal.SIGTERM)
say("on it goes")()
""")
    assert (result.returncode, result.stdout) == (0, "second\nbetween\nfirst\non it goes\n")


def test_of_two_that_end_in_any_order_nothing_stays():
    result = ran("""
hooks = lambda: [signal.getsignal(one) for one in exit_hooks.SIGNALS]
before = hooks()
for order in (1, -1):
    for made in [make(), make()][::order]:
        made.uninstall()
    assert hooks() == before
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


# Ends that another thread finds.

ELSEWHERE = """
def elsewhere(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
"""


def test_what_another_thread_ends_is_put_back_by_the_main_thread():
    result = ran(f"""{ELSEWHERE}
hooks = lambda: (sys.excepthook, sys.unraisablehook, *map(signal.getsignal, exit_hooks.SIGNALS))
before = hooks()
made = make()
elsewhere(made.uninstall)
assert hooks() == before
assert signal.set_wakeup_fd(-1) == -1
assert len(threading.enumerate()) == 1
os.kill(os.getpid(), signal.SIGTERM)
""")
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, ""), result.stderr


def test_a_main_thread_that_hangs_after_another_thread_ended_us_dies_of_a_signal_all_the_same():
    code = PREAMBLE + "made = make()\nthreading.Timer(0.3, made.uninstall).start()\n" + HANG
    with script(code) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)  # until it hangs, and was ended
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        assert process.stdout.read() == ""


# Forked children.


def test_a_signal_that_a_child_gets_before_it_let_go_is_the_child_s_alone():
    result = ran("""
exit_hooks.GRACE_SECONDS = 0.1
made = make()
held = made.disown
made.disown = lambda: (time.sleep(0.5), held())
if (child := os.fork()) == 0:
    time.sleep(60)
time.sleep(0.2)
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
time.sleep(0.5)
say("on it goes")()
""")
    assert (result.returncode, result.stdout) == (0, "on it goes\n"), result.stderr


def test_a_signal_of_a_child_that_was_forked_behind_python_s_back_ends_the_child_alone():
    result = ran("""
exit_hooks.GRACE_SECONDS = 0.1
made = make()
if (child := ctypes.PyDLL(None).fork()) == 0:  # no hook is called
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
time.sleep(0.5)
say("on it goes")()
""")
    assert (result.returncode, result.stdout) == (0, "on it goes\n"), result.stderr


# Event loops.

LOOP = """
import asyncio
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, say("the loop's"))
"""


def test_a_process_that_hangs_in_c_within_an_event_loop_dies_of_a_signal_all_the_same():
    hang = HANG.strip().replace("\n", "\n    ")
    with script(f"{PREAMBLE}{LOOP}    made = make()\n    {hang}\nasyncio.run(main())") as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)  # until it hangs
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        assert process.stdout.readline() == "on_signal\n"


def test_an_event_loop_hears_its_signals_while_we_listen_and_afterwards():
    result = ran(f"""{LOOP}
    for made in (make(), None):
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.3)
        if made:
            made.uninstall()
asyncio.run(main())
""")
    assert (result.returncode, result.stdout) == (0, "the loop's\nthe loop's\n"), result.stderr


def test_an_event_loop_that_another_one_s_listening_would_disturb_says_nothing():
    """As `trio.run` does it, where a reward function calls it."""
    result = ran("""
import warnings
warnings.simplefilter("error")
text = "It looks like Trio's signal handling code might have collided with another library you're using."

def run():
    before = signal.set_wakeup_fd(-1)
    if before != -1:
        warnings.warn(text, RuntimeWarning)
    signal.set_wakeup_fd(before)

filters = list(warnings.filters)
made = make()
run()
made.uninstall()
assert warnings.filters == filters
run()
""")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# Where we leave signals alone.


def test_without_anybody_to_listen_signals_are_left_alone():
    result = ran("""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
made = make()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
made.uninstall()
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_the_first_process_of_a_container_goes_on_as_the_kernel_has_it():
    result = ran("""
os.getpid = lambda: 1
signal.signal(signal.SIGHUP, handler := lambda *_: None)
made = make()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
assert signal.getsignal(signal.SIGHUP) == made._handle  # it is noted that the script handles it
""")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
