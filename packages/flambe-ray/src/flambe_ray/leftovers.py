"""What a killed driver has left behind: Ray's temporary folder, and processes that did not notice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from flambe.errors import OutputLockedError
from flambe.storage.lock import FolderLock

PREFIX = "flambe-ray-"
_ASIDE = f".{PREFIX}"
"""How the name of a folder begins that is not locked yet."""
_ASIDE_S = 3600.0
"""How old such a folder is when nobody can be about to lock it any more."""
_OWNER = "owner"
_PROCESSES = "processes.json"


class OwnFolder:
    """A temporary folder that belongs to this process until it is removed, or until the process dies.

    Args:
        place: Where to make it.
    """

    def __init__(self, place: Path) -> None:
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=place))
        self._lock = FolderLock.take(aside / _OWNER)
        self.path = place / (PREFIX + token_hex(4))
        aside.rename(self.path)  # nobody sees the folder without its lock

    def note(self, pids: Iterable[int]) -> None:
        """Remember the processes that work in the folder."""
        known = {pid: _started(pid) for pid in pids}
        (self.path / _PROCESSES).write_text(json.dumps({str(pid): at for pid, at in known.items() if at}))

    def remove(self) -> None:
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def sweep(place: Path) -> None:
    """Remove the folders in `place` whose owners are dead, and end what still works in them."""
    with suppress(OSError):
        for folder in place.glob(f"{PREFIX}*"):
            with suppress(OSError):  # another process sweeps too
                if _is_own(folder):
                    _sweep(folder)
        for folder in place.glob(f"{_ASIDE}*"):
            with suppress(OSError):
                if _is_own(folder) and time.time() - folder.lstat().st_mtime > _ASIDE_S:
                    (folder / _OWNER).touch()
                    _sweep(folder)


def children(pid: int) -> list[int]:
    """The processes that a process has started, where the system tells."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _is_own(folder: Path) -> bool:
    """Whether only this user can have put there what it holds: others may write to `place` too."""
    about = folder.lstat()
    mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    return mine and stat.S_ISDIR(about.st_mode) and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _sweep(folder: Path) -> None:
    owner = folder / _OWNER
    if not owner.exists():
        return
    try:
        lock = FolderLock.take(owner)
    except OutputLockedError:
        return
    with lock:
        for pid, started in _noted(folder):
            if _started(pid) == started:  # else the id belongs to another process by now
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _noted(folder: Path) -> list[tuple[int, int]]:
    try:
        found = json.loads((folder / _PROCESSES).read_text())
        return [(int(pid), int(started)) for pid, started in found.items()]
    except (OSError, ValueError, AttributeError):
        return []


def _started(pid: int) -> int | None:
    """When the process was started, in the kernel's ticks; None where that cannot be told."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(line.rpartition(")")[2].split()[19])
