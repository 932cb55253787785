"""Programs beside the one that runs a scenario: each a process of its own, so that none waits for another,
told what to do by lines of JSON. They end with whoever started them, however that ends."""
import asyncio
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def child_setup(namespace=None):
    """For Popen's preexec_fn: the child dies with its parent, and starts in that network namespace."""
    parent = os.getpid()

    def setup():
        checked(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if os.getppid() != parent:
            os._exit(1)
        if namespace is not None:
            checked(LIBC.setns(namespace, CLONE_NEWNET), "setns")

    return setup


def end(process, patience=10):
    """SIGTERM, and SIGKILL for what does not heed it. Its exit code, negative for a signal."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Service:
    """One of the programs of this folder. `ready` is what it said when it was."""

    def __init__(self, program, settings, namespace=None, pass_fds=()):
        self.program = program
        # -B: no compiled files beside the sources.
        self.process = subprocess.Popen(
            [sys.executable, "-B", HERE / program, json.dumps(settings)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, pass_fds=pass_fds, preexec_fn=child_setup(namespace))
        self.ready = self._said()

    def tell(self, **command):
        """What is told is in force when this returns, with what the program has to say of it."""
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        return self._said()

    def _said(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.program} ended with {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        end(self.process)


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def obey(handle):
    """In the program: handle(command) for each line that comes, its result goes back; the loop ends with the
    last of them. One is answered before the next is sent, so a whole line is there when the first byte is."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def on_line():
        line = sys.stdin.readline()
        if not line:
            loop.remove_reader(sys.stdin.fileno())
            if not done.done():
                done.set_result(None)
            return
        say(handle(json.loads(line)) or {})

    loop.add_reader(sys.stdin.fileno(), on_line)
    return done
