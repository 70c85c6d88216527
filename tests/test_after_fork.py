"""Forks while something of a run must not get into the child, in processes of their own."""

from processes import run_script

PREAMBLE = """
import os, signal, subprocess, sys, threading, time
window = [0.0]
os.register_at_fork(after_in_child=lambda: time.sleep(window[0]))  # another library's hook, before ours
from rldk import _after_fork

class Owner:
    def __init__(self, name, signals=(), fails=False):
        self.name, self.fails = name, fails
        _after_fork.disown_in_child(self, signals)

    def disown(self):
        os.write(1, f"{self.name}\\n".encode())
        if self.fails:
            raise OSError("the descriptor is gone")

def mask():
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())

def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def out_of(code):
    result = run_script(PREAMBLE + code)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_whoever_handles_signals_lets_go_first_and_one_that_fails_keeps_nobody_from_it():
    assert out_of("""
owners = [Owner("file"), Owner("signals", [signal.SIGTERM], fails=True), Owner("lock", fails=True)]
if (child := os.fork()) == 0:
    os._exit(0)
status(child)
""")[:1] == ["signals"]


def test_a_signal_that_comes_before_a_child_let_go_ends_the_child_afterwards():
    assert out_of("""
owner, window[0] = Owner("signals", [signal.SIGTERM]), 0.3
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"handled by whom?"))
owner.disown = lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL)
if (child := os.fork()) == 0:
    time.sleep(60)
time.sleep(0.1)
os.kill(child, signal.SIGTERM)
print(status(child))
""") == ["-15"]


def test_what_let_go_already_is_not_asked():
    assert out_of("""
one = Owner("one", [signal.SIGTERM])
_after_fork.keep_in_child(one)
if (child := os.fork()) == 0:
    print(mask(), flush=True)
    os._exit(0)
status(child)
""") == ["set()"]


def test_every_mask_is_as_it_was_in_parents_children_and_threads():
    assert out_of("""
owner = Owner("")
_after_fork.disown_in_child(owner, [signal.SIGTERM, signal.SIGHUP])

def forks():
    before = mask()
    if (child := os.fork()) == 0:
        assert mask() == before
        if (grandchild := os.fork()) == 0:
            assert mask() == before
            os._exit(0)
        os._exit(status(grandchild))
    assert status(child) == 0
    assert mask() == before

forks()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])  # as the script had it
forks()
thread = threading.Thread(target=forks)
thread.start()
thread.join()
print("done")
""")[-1:] == ["done"]


def test_programs_that_are_started_get_no_signal_blocked():
    code = '"import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"'
    assert out_of(f"""
owner = Owner("", [signal.SIGTERM])
owner.disown = lambda: None
show = [sys.executable, "-c", {code}]
for ways in ({{}}, {{"preexec_fn": int}}, {{"start_new_session": True}}, {{"close_fds": False}}):
    assert subprocess.run(show, capture_output=True, text=True, **ways).stdout == "set()\\n"
assert subprocess.run(show, capture_output=True, text=True, user=os.getuid()).stdout == "set()\\n"
pid, terminal = os.forkpty()
if pid == 0:
    os.execv(sys.executable, show)
assert os.read(terminal, 100).split() == [b"set()"]
assert status(pid) == 0
print("done")
""") == ["done"]


def test_a_fork_that_fails_leaves_the_mask_as_it_was():
    assert out_of("""
import resource
owner, before = Owner("", [signal.SIGTERM]), mask()
if os.getuid() == 0:  # whom no limit binds
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    os.fork()
except BlockingIOError:
    print(mask() == before)
""") == ["True"]
