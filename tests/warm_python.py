"""A Python that imported the trainers once, which takes five seconds, and forks a process for each script.

Invariant: a script runs as in a Python of its own: in the main thread of a new session, with its own streams,
folder, arguments and environment, and to the end of the interpreter. rldk is not imported before the fork.

`python warm_python.py SOCKET` is that Python: a request is four descriptors through the socket.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from types import ModuleType

from faulty_disk import FaultyDisk
from processes import environment


class WarmPython:
    """Starts scripts; `folder` takes the library of the faulty disk, which each script may use."""

    def __init__(self, folder):
        preload = FaultyDisk(folder, folder).environment()["LD_PRELOAD"]
        self._socket, served = socket.socketpair()
        with served:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(served.fileno())],
                env=environment(LD_PRELOAD=preload),
                pass_fds=[served.fileno()],
                start_new_session=True,
            )

    def start(self, code, *arguments, folder, path="<string>", env):
        """Run `code`, the content of `path`, in `folder`; the Process."""
        asked, request = os.pipe()
        status, told = os.pipe()
        read, out = os.pipe()
        err, name = tempfile.mkstemp()
        socket.send_fds(self._socket, [b"!"], [asked, told, out, err])
        for descriptor in (asked, told, out, err):
            os.close(descriptor)
        asking = {"code": code, "arguments": arguments, "folder": folder, "path": path, "env": env}
        with os.fdopen(request, "w") as file:
            json.dump(asking, file)
        process = Process(os.fdopen(status), os.fdopen(read), os.fdopen(os.open(name, os.O_RDONLY)))
        os.unlink(name)
        return process

    def close(self):
        """End the Python; scripts that still run go on."""
        self._socket.close()
        self._server.wait()


class Process:
    """A script that runs: what tests need of `subprocess.Popen`."""

    def __init__(self, status, stdout, stderr):
        self._status, self.stdout, self.stderr = status, stdout, stderr
        self.pid, self.returncode = int(status.readline()), None

    def wait(self):
        """Wait for its end; the exit status, negative for a signal."""
        if self.returncode is None:
            self.returncode = int(self._status.readline())
        return self.returncode

    def send_signal(self, number):
        """Send it a signal, unless its end was waited for."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout):
        """Wait for its end, and kill it after so many seconds; the rest of its output, and its errors."""
        timer = threading.Timer(timeout, self.kill)
        timer.start()
        try:
            out = self.stdout.read()
            self.wait()
            return out, self.stderr.read()
        finally:
            timer.cancel()

    def close(self):
        """Kill it, and close its streams."""
        self.kill()
        self.wait()
        for file in (self._status, self.stdout, self.stderr):
            file.close()


def serve(requests):
    """Fork a process for each request; returns in each of them, with its request, and at the end."""
    while (received := socket.recv_fds(requests, 1, 4))[0]:
        _, (asked, told, out, err), _, _ = received
        if os.fork() == 0:
            requests.close()
            if (child := os.fork()) == 0:
                os.close(told)
                os.setsid()
                os.dup2(out, 1)
                os.dup2(err, 2)
                os.close(out)
                os.close(err)
                with os.fdopen(asked) as file:
                    return json.load(file)
            for descriptor in (asked, out, err):
                os.close(descriptor)
            os.write(told, b"%d\n" % child)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(told, b"%d\n" % code)
            os._exit(0)
        for descriptor in (asked, told, out, err):
            os.close(descriptor)
        with suppress(ChildProcessError):  # the keepers of processes that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def begin(request):
    """Become the process that the request describes; its main module."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    if "FAULTY_DISK_FOLDER" in os.environ:
        ctypes.CDLL(None).faulty_disk_begin()
    sys.argv[:] = [request["path"], *request["arguments"]]
    sys.path[0] = request["folder"]
    sys.modules["__main__"] = module = ModuleType("__main__")
    return module


if __name__ == "__main__":
    import trl  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        Trainer,
        TrainingArguments,
    )

    import tiny  # noqa: F401

    assert "rldk" not in sys.modules
    if asked := serve(socket.socket(fileno=int(sys.argv[1]))):
        exec(compile(asked["code"], asked["path"], "exec"), begin(asked).__dict__)
