"""A lock on a folder that the operating system releases when its owner dies."""

from __future__ import annotations

import json
import os
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path

from flambe.errors import OutputLockedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the module does not exist there

_A_LOOK_S = 0.001


class FolderLock:
    """Holds a lock file. Processes forked by the owner do not hold it."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._forget_in_forks()

    @classmethod
    def take(cls, file: Path) -> FolderLock:
        """Take the lock at once.

        Raises:
            OutputLockedError: Another process holds it.
        """
        while True:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            if not _take(descriptor):
                holder = describe_holder(os.pread(descriptor, 4096, 0) if hasattr(os, "pread") else b"")
                os.close(descriptor)
                raise OutputLockedError(locked_message(str(file.parent), holder))
            if _is_still(file, descriptor):
                break
            os.close(descriptor)  # the last owner removed the file between our two calls
        os.ftruncate(descriptor, 0)
        os.write(descriptor, owner_record())
        return cls(file, descriptor)

    @classmethod
    def held(cls, file: Path) -> bool:
        """Whether another process, or this one, holds the lock; nobody who takes it meanwhile is refused."""
        try:
            descriptor = os.open(file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(descriptor, looking=True)
        finally:
            os.close(descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go, and remove the file."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            os.unlink(self._file)
        self._drop()

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _forget_in_forks(self) -> None:
        if hasattr(os, "register_at_fork"):
            lock = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _drop_if_alive(lock))


def owner_record() -> bytes:
    """Who holds a lock, as JSON."""
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()}).encode()


def describe_holder(record: bytes) -> str:
    """`process 12 on machine since 10:20:30`, or as much of it as is known."""
    try:
        owner = json.loads(record)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["time"]))
        return f"process {owner['pid']} on {owner['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def locked_message(where: str, holder: str) -> str:
    return f"{where} is in use by {holder}; wait until it ends or stop it, or choose another folder"


def _drop_if_alive(lock: weakref.ref[FolderLock]) -> None:
    held = lock()
    if held is not None:
        held._drop()


def _take(descriptor: int) -> bool:
    """Locks the file if nobody holds it; those who only look let go at once."""
    while not _try_lock(descriptor):
        if fcntl is None or not _try_lock(descriptor, looking=True):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(_A_LOOK_S)
    return True


def _try_lock(descriptor: int, *, looking: bool = False) -> bool:
    """Locks the file; with `looking` so that others may look too, where the system can do that."""
    if fcntl is None:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if looking else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False
