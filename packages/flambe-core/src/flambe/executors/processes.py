"""Starting processes: forked where that is safe, else fresh interpreters. None outlives its parent."""

from __future__ import annotations

import base64
import ctypes
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol

_BOOT = (
    "import ast, sys; sys.path[:] = ast.literal_eval(sys.argv[3])\n"
    "from flambe.executors.{} import main; main()"
)
_DESCRIPTORS = 65_536
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Child(Protocol):
    """A process that this one has started."""

    @property
    def pid(self) -> int: ...

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal; raises `subprocess.TimeoutExpired`."""

    def kill(self) -> None: ...


class Forked:
    """A forked process, with the part of `subprocess.Popen` that is needed here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = 0.0005
        while self._code is None:
            pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.02)
        return self._code

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


def fork(life: Callable[[], None]) -> Forked:
    """Fork a process that lives `life` and nothing of what this one would do next."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # no handler of ours runs in the child
    pid = os.fork()
    if not pid:
        live(life)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Forked(pid)


def live(life: Callable[[], None]) -> NoReturn:
    """Live `life` and end, whatever threads and exit handlers there are."""
    code = 1
    try:
        leave_session()
        life()
        code = 0
    except BaseException:  # noqa: BLE001  # told on the console, if there is one by now
        traceback.print_exc()
    finally:
        os._exit(code)


def can_fork() -> bool:
    """Whether a copy of this process would work: one thread, and no GPU in use.

    OpenBLAS ends its threads when a process forks and starts them again when needed, so threads that
    a fork has ended do not count.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or _uses_gpu():
        return False
    if _thread_count() == 1:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: this one only exits
        pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return _thread_count() == 1


def start_fresh(
    module: str, end: socket.socket, output: int | None, message: object
) -> subprocess.Popen[bytes]:
    """Start an interpreter that runs `main` of a module of this package, which calls `fresh_start`.

    Its standard output and error go to the descriptor `output`, or nowhere. Its standard input brings
    `message` and is its life line: where the system cannot do that, it ends itself when the line does.
    """
    out = subprocess.DEVNULL if output is None else output
    inherited = () if sys.platform == "win32" else (end.fileno(),)
    process = subprocess.Popen(  # noqa: S603  # this interpreter
        [sys.executable, "-c", _BOOT.format(module), str(end.fileno()), str(os.getpid()), repr(sys.path)],
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=out,
        pass_fds=inherited,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died already, which its wire will tell
        if sys.platform == "win32":
            process.stdin.write(base64.b64encode(end.share(process.pid)) + b"\n")
        pickle.dump(message, process.stdin)
        process.stdin.flush()
    return process


def fresh_start() -> tuple[socket.socket, Any]:
    """In a fresh interpreter: the end of the wire to its parent, with whom it will die, and the message."""
    if sys.platform == "win32":
        end = socket.fromshare(base64.b64decode(sys.stdin.buffer.readline()))
    else:
        end = socket.socket(fileno=int(sys.argv[1]))
    message = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the parent
    if sys.platform == "linux":
        die_with_parent(parent_pid())
    else:
        threading.Thread(target=_die_with_line, args=(os.dup(0),), daemon=True).start()
    return end, message


def parent_pid() -> int:
    """In a fresh interpreter: the process that started it."""
    return int(sys.argv[2])


def leave_session() -> None:
    """Take this process out of the driver's session: neither Ctrl-C nor the driver's handlers are for it."""
    if hasattr(os, "setsid"):
        with suppress(PermissionError):  # it leads its own already
            os.setsid()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def die_with_parent(parent: int) -> None:
    """Have the system (Linux) kill this process when its parent, which has one thread, dies."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def allow_descriptors() -> tuple[int, int] | None:
    """Let this process hold as many descriptors as it may: shared memory takes one for every segment.

    Returns the limits before, for `restore_descriptors`; None where there are none.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft, hard


def restore_descriptors(limits: tuple[int, int] | None) -> None:
    """Set the limits that were before `allow_descriptors`."""
    if limits is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def kill_group(pid: int) -> None:
    """Kill a process that leads its own session, with all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def _die_with_line(line: int) -> None:
    while os.read(line, 1):
        pass
    os._exit(1)


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def _uses_gpu() -> bool:
    """Whether a GPU driver is open; its state does not survive a fork."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if os.readlink(link).startswith(("/dev/nvidia", "/dev/kfd")):
                return True
    return False
