"""Installing extensions with pip into the running environment, and remembering what was installed."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from flambe.errors import ExtensionError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the module does not exist there

_LEFT_OUT = {".git", "__pycache__", "build", "dist", ".venv", "venv", ".mypy_cache", ".pytest_cache"}


def pip_install(target: str) -> None:
    """Install a requirement or a folder into the environment of the running Python.

    Raises:
        ExtensionError: with pip's output, if it fails.
    """
    options = ["--no-input", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - the source is what the user's config names
        [sys.executable, "-m", "pip", "install", *options, "--", target],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    importlib.invalidate_caches()
    if done.returncode:
        raise ExtensionError(f"`pip install {shlex.quote(target)}` failed:\n{done.stdout.strip()}")


def version_of(distribution: str) -> str | None:
    """The installed version, or None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def is_satisfied(requirement: Requirement) -> bool:
    """Whether the environment has what the requirement asks for (of a direct URL, only the name)."""
    version = version_of(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def is_editable(folder: Path) -> bool:
    """Whether a distribution is installed from `folder` in editable mode: it is always up to date."""
    uri = folder.resolve().as_uri()
    for distribution in metadata.distributions():
        text = distribution.read_text("direct_url.json")
        if text and uri in text:
            direct = json.loads(text)
            if direct.get("url") == uri and direct.get("dir_info", {}).get("editable"):
                return True
    return False


def state_of(folder: Path) -> str:
    """A text that changes when a file inside `folder` does (names, sizes and times, not contents)."""
    found = hashlib.sha256()
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _LEFT_OUT and not f.endswith(".egg-info"))
        for name in sorted(files):
            path = Path(root, name)
            about = path.lstat()
            found.update(f"{path.relative_to(folder)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return found.hexdigest()


class Installed:
    """What was installed into this environment from where, kept in the user's cache folder."""

    def __init__(self, cache: Path) -> None:
        environment = hashlib.sha256(sys.prefix.encode()).hexdigest()[:16]
        self._file = cache / f"installed-{environment}.json"

    def state(self, source: str) -> str | None:
        """The state (a commit, or `state_of` a folder) that was last installed from `source`."""
        return self._read().get(source)

    def remember(self, source: str, state: str) -> None:
        aside = self._file.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(json.dumps({**self._read(), source: state}, indent=1))
        os.replace(aside, self._file)

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):  # nothing yet, or damaged: then it is installed again
            return {}
        return found if isinstance(found, dict) else {}


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Only one process of this user installs at a time; the others wait."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "ab") as file:
        _wait_for(file.fileno())
        yield  # closing the file lets go


def _wait_for(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    import msvcrt

    while True:
        with suppress(OSError):  # it gives up after ten seconds
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows
            return
