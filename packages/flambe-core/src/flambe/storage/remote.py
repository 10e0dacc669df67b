"""Storage at any URL that fsspec knows: object stores, memory, servers.

A single object appears whole or not at all. A folder counts only once its last file is there. Lines are
appended to numbered segments: each flush writes the newest segment again, as one object.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from flambe.errors import MissingFileError, OutputLockedError, SavingError
from flambe.storage.lock import describe_holder, locked_message, owner_record
from flambe.storage.storage import Content, clean_path, explained

SEGMENT_BYTES = 1 << 20
FLUSH_SECONDS = 2.0
LOCK_SECONDS = 60.0
"""A lock that was not renewed for so long belongs to a dead process."""
APPENDED = (".jsonl", ".txt", ".log")
"""How the names of files end that may be appended to."""
_LOCK = ".lock"


@dataclass
class _Segments:
    """The lines of one appended file: `number` is the segment being filled."""

    number: int
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    dirty: bool = False
    flushed_at: float = field(default_factory=time.monotonic)


class RemoteStorage:
    r"""A folder behind a URL.

    Example:
        >>> storage = RemoteStorage("memory://doctest")
        >>> storage.append("journal.jsonl", b"start\n", durable=True)
        >>> storage.list(), storage.read("journal.jsonl")
        (['journal-000001.jsonl'], b'start\n')
    """

    def __init__(self, url: str, **options: Any) -> None:
        import fsspec

        self._url = _without_slashes_at_the_end(url)
        with explained("open", url):
            try:
                self._fs, self._root = fsspec.core.url_to_fs(self._url, use_listings_cache=False, **options)
            except ValueError as error:
                raise SavingError(f"cannot open {url}: {error}") from error
        self._appending: dict[str, _Segments] = {}

    def __repr__(self) -> str:
        return f"RemoteStorage({self._url!r})"

    @property
    def url(self) -> str:
        return self._url

    def join(self, path: str) -> str:
        return _without_slashes_at_the_end(f"{self._url}/{clean_path(path)}")

    def within(self, path: str) -> RemoteStorage:
        return RemoteStorage(self.join(path))

    def exists(self, path: str = "") -> bool:
        with explained("read", self._named(path)):
            return bool(self._fs.exists(self._at(path))) or bool(self._segment_numbers(path))

    def list(self, path: str = "") -> Sequence[str]:
        with explained("read", self._named(path)):
            try:
                found = self._fs.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        names = {name.rstrip("/").rpartition("/")[2] for name in found if name.rstrip("/") != self._at(path)}
        return sorted(names - {_LOCK, ""})

    def read(self, path: str) -> bytes:
        with explained("read", self._named(path)):
            try:
                whole = bytes(self._fs.cat_file(self._at(path)))
            except FileNotFoundError:
                if not self._segment_numbers(path):
                    raise
                whole = b""
            return whole + b"".join(self._segments(path))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.read(path))

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        self._put(path, data)
        self._appending.pop(clean_path(path), None)
        for number in self._segment_numbers(path):
            self._fs.rm(self._at(_segment(path, number)))

    def write_folder(
        self, path: str, files: Mapping[str, Content], *, keep: bool = False, durable: bool = True
    ) -> None:
        folder = clean_path(path)
        *_, seal = files
        start = f"{folder}/" if folder else ""
        self.remove(start + seal)
        if not keep:
            self.remove(folder)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else _bytes_of(content)
            self._put(start + clean_path(name), data)

    def append(self, path: str, lines: bytes, *, durable: bool = False) -> None:
        path = clean_path(path)
        segments = self._appending.get(path)
        if segments is None:
            number = max(self._segment_numbers(path), default=0) + 1
            segments = self._appending[path] = _Segments(number)
        segments.lines.append(lines)
        segments.size += len(lines)
        segments.dirty = True
        if durable or time.monotonic() - segments.flushed_at > FLUSH_SECONDS:
            self._flush(path, segments)

    def sync(self) -> None:
        """What is at a URL is safe once it is there."""
        self.flush()

    def flush(self) -> None:
        for path, segments in self._appending.items():
            self._flush(path, segments)

    def remove(self, path: str) -> None:
        path = clean_path(path)
        for name in [n for n in self._appending if n == path or n.startswith(f"{path}/") or not path]:
            del self._appending[name]
        with explained("remove", self._named(path)):
            for each in [path, *(_segment(path, number) for number in self._segment_numbers(path))]:
                with suppress(FileNotFoundError):
                    self._fs.rm(self._at(each), recursive=True)

    def clear(self) -> None:
        self._appending.clear()
        for name in self.list():
            self.remove(name)

    def lock(self) -> RemoteLock:
        return RemoteLock.take(self)

    def is_locked(self) -> bool:
        return RemoteLock(self).holder() is not None

    def close(self) -> None:
        self.flush()
        self._appending.clear()

    def _flush(self, path: str, segments: _Segments) -> None:
        if not segments.dirty:
            return
        self._put(_segment(path, segments.number), b"".join(segments.lines))
        segments.dirty, segments.flushed_at = False, time.monotonic()
        if segments.size > SEGMENT_BYTES:
            segments.number, segments.size = segments.number + 1, 0
            segments.lines.clear()

    def _put(self, path: str, data: bytes) -> None:
        with explained("write", self._named(path)):
            place = self._at(path)
            self._make_folder(place)
            self._fs.pipe_file(place, data)

    def _segments(self, path: str) -> Iterator[bytes]:
        for number in self._segment_numbers(path):
            yield bytes(self._fs.cat_file(self._at(_segment(path, number))))

    def _segment_numbers(self, path: str) -> Sequence[int]:
        folder, _, name = clean_path(path).rpartition("/")
        if not name.endswith(APPENDED):
            return []
        stem, ending = os.path.splitext(name)
        names = self.list(folder)
        digits = [n[len(stem) + 1 : len(n) - len(ending)] for n in names if n.startswith(f"{stem}-")]
        numbers = [int(d) for d in digits if d.isdigit()]
        return sorted(n for n in numbers if _segment(name, n) in names)

    def _make_folder(self, place: str) -> None:
        """Make the folder on storage that has folders; on an object store this does nothing."""
        with suppress(NotImplementedError, FileExistsError):
            self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)

    def _at(self, path: str) -> str:
        inside = clean_path(path)
        return f"{self._root}/{inside}" if inside else self._root

    def _named(self, path: str) -> str:
        return f"{self._url}/{path}" if path else self._url


class RemoteLock:
    """An object that its owner renews.

    Two owners that start at the same moment may both find no lock; each reads back what it wrote before
    going on, and the later writer wins.
    """

    def __init__(self, storage: RemoteStorage) -> None:
        self._storage = storage
        self._owner = secrets.token_hex(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="flambe-lock", daemon=True)

    @classmethod
    def take(cls, storage: RemoteStorage) -> RemoteLock:
        """Take the lock at once.

        Raises:
            OutputLockedError: Another process holds it.
        """
        lock = cls(storage)
        held = lock.holder()
        if held is not None:
            holder = describe_holder(json.dumps(held).encode())
            raise OutputLockedError(locked_message(storage.url, holder))
        lock._write()
        held = lock._read()
        if held is None or held.get("owner") != lock._owner:
            raise OutputLockedError(locked_message(storage.url, "another process"))
        lock._thread.start()
        return lock

    def holder(self) -> dict[str, Any] | None:
        """What is known of the living process that holds the lock, if one does."""
        held = self._read()
        return held if held is not None and time.time() - held.get("time", 0) < LOCK_SECONDS else None

    def __enter__(self) -> RemoteLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go, and remove the object."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        held = self._read()
        if held is not None and held.get("owner") == self._owner:
            self._storage.remove(_LOCK)

    def _renew(self) -> None:
        while not self._stop.wait(LOCK_SECONDS / 4):
            with suppress(SavingError):  # the next renewal may succeed
                self._write()

    def _write(self) -> None:
        record = {**json.loads(owner_record()), "owner": self._owner}
        self._storage.write(_LOCK, json.dumps(record).encode())

    def _read(self) -> dict[str, Any] | None:
        try:
            held = json.loads(self._storage.read(_LOCK))
        except (MissingFileError, ValueError):
            return None
        return held if isinstance(held, dict) else None


def _segment(path: str, number: int) -> str:
    stem, ending = os.path.splitext(path)
    return f"{stem}-{number:06d}{ending}"


def _without_slashes_at_the_end(url: str) -> str:
    """`url` as it is named in messages; the two slashes after the protocol stay."""
    protocol, separator, path = url.partition("://")
    return f"{protocol}{separator}{path.rstrip('/')}"


def _bytes_of(write: Any) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()
