"""Published data files: found on this machine, or fetched once and checked.

A file is looked up in the folder that `FLAMBE_DATA` names, then in the user's cache, then it is
downloaded to the cache from its public addresses. Whatever the place, its checksum must be the
published one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import platformdirs

from flambe_torch.errors import DataError, MissingDataError

DATA_VARIABLE = "FLAMBE_DATA"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that others published, known by its checksum.

    Attributes:
        name: Where it lies below a data folder, such as `trec/TREC_10.label`.
        sha256: Its checksum in hexadecimal digits.
        urls: Where it can be downloaded; tried in order.
    """

    name: str
    sha256: str
    urls: tuple[str, ...]

    def locate(self) -> Path:
        """The path of a copy with the published checksum; downloads one if there is none.

        Raises:
            DataError: The copy found is not the published file.
            MissingDataError: There is no copy, and none can be downloaded.
        """
        for folder in data_folders():
            path = folder / self.name
            if path.is_file():
                self._check(path)
                return path
        return self._download(cache_folder() / self.name)

    def inside(self, folder: str) -> str:
        """The path of a copy of one's own in `folder`, a path or a URL; its checksum may be any.

        Raises:
            MissingDataError: There is no such file in a local folder.
        """
        return find(f"{folder.rstrip('/')}/{self.name.rpartition('/')[2]}")

    def _check(self, path: Path) -> None:
        with path.open("rb") as stream:
            found = _digest(stream)
        if found != self.sha256:
            raise DataError(
                f"{path} is not the published file: its sha256 is {found}, "
                f"the published one is {self.sha256}; replace or remove it"
            )

    def _download(self, target: Path) -> Path:
        failures = []
        for url in self.urls:
            failure = self._fetch(url, target)
            if failure is None:
                return target
            failures.append(f"  {url}: {failure}")
        raise MissingDataError(self._missing(failures))

    def _fetch(self, url: str, target: Path) -> Exception | None:
        """Why `url` did not give the file, or None if it lies at `target` now."""
        try:
            self._receive(url, target)
        except (OSError, DataError) as error:
            return error
        return None

    def _receive(self, url: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(target) as stream:
            digest, received = hashlib.sha256(), 0
            with open_url(url) as response:
                while chunk := response.read(_CHUNK_BYTES):
                    stream.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            if digest.hexdigest() != self.sha256:
                raise DataError(
                    f"received {received} bytes with sha256 {digest.hexdigest()}, "
                    "which is not the published file"
                )

    def _missing(self, failures: list[str]) -> str:
        places = " or ".join(str(folder / self.name) for folder in data_folders())
        unset = "" if os.environ.get(DATA_VARIABLE) else f" (or set {DATA_VARIABLE} to a data folder)"
        return (
            f"cannot get {self.name}: it is not on this machine, and downloading failed:\n"
            + "\n".join(failures)
            + f"\nPut the file at {places}{unset}; its sha256 is {self.sha256}"
        )


def data_folders() -> list[Path]:
    """Where data is looked for, in order: the folder that `FLAMBE_DATA` names, the user's cache."""
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named).expanduser()] if named else []), cache_folder()]


def cache_folder() -> Path:
    """The folder for downloaded data, below the user's cache."""
    return Path(platformdirs.user_cache_dir("flambe")) / "data"


def find(path: str) -> str:
    """`path` itself if it is a URL or is there, else the copy below a data folder.

    Raises:
        MissingDataError: A local path that is nowhere to be found.
    """
    if "://" in path:
        return path
    given = Path(path).expanduser()
    candidates = [given] if given.is_absolute() else [given, *(folder / path for folder in data_folders())]
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise MissingDataError(f"there is no file {path!r} (looked for {looked})")


@contextmanager
def written_aside(target: Path) -> Iterator[BinaryIO]:
    """A stream to a file beside `target` that takes its place on success and vanishes on failure."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def open_url(url: str, timeout_s: float = 30.0) -> Iterator[BinaryIO]:
    """A stream of what `url` (http or https) serves.

    Raises:
        OSError: No connection, no answer in time, or an answer that is no success.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} is no http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": "flambe"})  # noqa: S310 (checked above)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 (checked above)
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from error


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
