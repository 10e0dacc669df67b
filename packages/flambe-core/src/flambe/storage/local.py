"""Storage in a local folder: written aside, synced, renamed."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from flambe.storage.lock import FolderLock
from flambe.storage.storage import Content, clean_path, explained

_ASIDE = ".aside"
"""Ends the name of what is being written."""
_OLD = ".replaced"
"""Ends the name of a folder that is being replaced."""
_LOCK = ".lock"
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TRIES = 10
"""How often a file is created anew whose folder another process replaces."""
_OPEN_FILES = 64
"""How many appended files are kept open."""

Made = TypeVar("Made")


class LocalStorage:
    """A folder on a local disk.

    Example:
        >>> import tempfile
        >>> storage = LocalStorage(tempfile.mkdtemp())
        >>> storage.write("notes/first.txt", b"hello")
        >>> storage.list("notes"), storage.read("notes/first.txt")
        (['first.txt'], b'hello')
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._root = Path(os.path.abspath(os.fspath(folder).removeprefix("file://")))
        self._appending: dict[Path, int] = {}

    def __repr__(self) -> str:
        return f"LocalStorage({str(self._root)!r})"

    @property
    def url(self) -> str:
        return str(self._root)

    def join(self, path: str) -> str:
        return str(self._at(path))

    def within(self, path: str) -> LocalStorage:
        return LocalStorage(self._root / clean_path(path))

    def exists(self, path: str = "") -> bool:
        place = self._at(path)
        with explained("read", str(place)):
            return place.exists()

    def list(self, path: str = "") -> Sequence[str]:
        folder = self._at(path)
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            with explained("read", str(folder)):
                raise error
        return sorted(name for name in names if not _is_private(name))

    def read(self, path: str) -> bytes:
        file = self._at(path)
        with explained("read", str(file)):
            return file.read_bytes()

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        file = self._at(path)
        with explained("read", str(file)):
            stream = os.fdopen(os.open(file, _READ), "rb")
        with stream:
            yield stream

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        file = self._at(path)
        aside = _aside(file)
        self._let_go_of(file)
        with explained("write", str(file)), _removing(aside):
            _in_its_folder(aside, lambda: _write(aside, data, durable=durable))
            os.replace(aside, file)
            if durable:
                _sync_folder(file.parent)

    def write_folder(
        self, path: str, files: Mapping[str, Content], *, keep: bool = False, durable: bool = True
    ) -> None:
        folder = self._at(path)
        self._let_go_of(folder)
        with explained("write", str(folder)):
            if keep and folder.exists():
                self._write_into(folder, files, durable=durable)
                return
            aside = _aside(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _removing(aside):
                _fill(aside, folder, files, durable=durable)
                if not keep:
                    _put_in_place(aside, folder)
                elif not _took_place(aside, folder):  # another process has begun to write into it
                    _remove_any(aside)
                    self._write_into(folder, files, durable=durable)
            if durable:
                _sync_folder(folder.parent)

    def append(self, path: str, lines: bytes, *, durable: bool = False) -> None:
        file = self._at(path)
        with explained("write", str(file)):
            descriptor = self._appending_to(file)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                _write_all(descriptor, lines)
                if durable:
                    os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise

    def flush(self) -> None:
        """Appended lines are readable at once."""

    def sync(self) -> None:
        with explained("sync", str(self._root)):
            sync_file_system(self._root)

    def remove(self, path: str) -> None:
        place = self._at(path)
        self._let_go_of(place)
        with explained("remove", str(place)):
            if place.is_dir() and not place.is_symlink():
                aside = _aside(place)
                os.replace(place, aside)  # a half-removed folder must not be believed
                shutil.rmtree(aside)
            else:
                place.unlink(missing_ok=True)

    def clear(self) -> None:
        self.close()
        for name in os.listdir(self._root) if self._root.is_dir() else ():
            if name != _LOCK:
                self.remove(name)

    def lock(self) -> FolderLock:
        with explained("write", str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = FolderLock.take(self._root / _LOCK)
        try:
            self.clean()
        except BaseException:
            lock.release()
            raise
        return lock

    def is_locked(self) -> bool:
        with explained("read", str(self._root)):
            return FolderLock.held(self._root / _LOCK)

    def clean(self) -> None:
        """Remove what killed writers left, and settle replacements that they did not finish."""
        with explained("clean", str(self._root)):
            for folder, subfolders, names in os.walk(self._root):
                for name in [*subfolders, *names]:
                    if name.endswith((_ASIDE, _OLD)) and name.startswith("."):
                        _settle(Path(folder, name))
                subfolders[:] = [name for name in subfolders if not _is_private(name)]

    def settle(self, path: str) -> None:
        """Undo a replacement of the folder `path` that a killed writer did not finish."""
        folder = self._at(path)
        if not folder.exists():
            for old in folder.parent.glob(f".{folder.name}.*{_OLD}"):
                _settle(old)

    def close(self) -> None:
        self._let_go_of(self._root)

    def _appending_to(self, file: Path) -> int:
        descriptor = self._appending.pop(file, None)
        if descriptor is None:
            descriptor = _open_for_append(file)
        self._appending[file] = descriptor  # the newest stand last
        if len(self._appending) > _OPEN_FILES:
            os.close(self._appending.pop(next(iter(self._appending))))
        return descriptor

    def _let_go_of(self, place: Path) -> None:
        """Close the appended files at or below `place`, whose name may soon mean another file."""
        for file in [file for file in self._appending if file == place or place in file.parents]:
            os.close(self._appending.pop(file))

    def _at(self, path: str) -> Path:
        return self._root / clean_path(path)

    def _write_into(self, folder: Path, files: Mapping[str, Content], *, durable: bool) -> None:
        *_, seal = files
        with suppress(FileNotFoundError):
            os.unlink(folder / seal)
            if durable:
                _sync_folder(folder)
        rest = {name: content for name, content in files.items() if name != seal}
        _fill(folder, folder, rest, durable=durable)
        aside = _aside(folder / seal)
        with _removing(aside):
            _write(aside, files[seal], durable=durable)
            os.replace(aside, folder / seal)
        if durable:
            _sync_folder(folder)


def _is_private(name: str) -> bool:
    return name == _LOCK or (name.startswith(".") and name.endswith((_ASIDE, _OLD)))


def _aside(place: Path, ending: str = _ASIDE) -> Path:
    return place.parent / f".{place.name[:200]}.{secrets.token_hex(4)}{ending}"


@contextmanager
def _removing(aside: Path) -> Iterator[None]:
    """Remove `aside` when the block fails; when it succeeds, `aside` was renamed."""
    try:
        yield
    except BaseException:
        _remove_any(aside)
        raise


def _remove_any(place: Path) -> None:
    with suppress(OSError):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _fill(folder: Path, named: Path, files: Mapping[str, Content], *, durable: bool) -> None:
    """Write `files` into `folder`; errors name them as if they lay in `named`.

    All are written before the first is synced: the disk then takes them in one go.
    """
    folders = {folder}
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        file = folder / clean_path(name)
        for parent in file.relative_to(folder).parents:
            folders.add(folder / parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        with explained("write", str(named / name)):
            _write(file, content, durable=False)
    if not durable:
        return
    for name in files:
        with explained("write", str(named / name)):
            _sync_file(folder / clean_path(name))
    for each in folders:
        _sync_folder(each)


def _put_in_place(aside: Path, folder: Path) -> None:
    """Rename `aside` to `folder`, which may be there: a reader finds the old folder, none, or the new one."""
    if not folder.exists() and not folder.is_symlink():
        os.rename(aside, folder)
        return
    old = _aside(folder, _OLD)
    os.rename(folder, old)
    try:
        os.rename(aside, folder)
    except BaseException:
        os.rename(old, folder)
        raise
    _remove_any(old)


def _took_place(aside: Path, folder: Path) -> bool:
    """Rename `aside` to `folder`, unless there is one that holds something."""
    try:
        os.rename(aside, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _settle(leftover: Path) -> None:
    if leftover.name.endswith(_OLD):
        place = leftover.with_name(leftover.name[1 : -len(_OLD)].rpartition(".")[0])
        if not place.exists():
            os.rename(leftover, place)
            return
    _remove_any(leftover)


def _in_its_folder(file: Path, make: Callable[[], Made]) -> Made:
    """What `make` returns, which creates `file`, once its folder is there.

    Another process may put a folder in the place of the empty one between the two. Whoever had found the
    empty one by then is told that there is no such folder.
    """
    for _ in range(_TRIES):
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return make()
    return make()


def _write(file: Path, content: Content, *, durable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags, 0o666)
    try:
        if isinstance(content, bytes):
            _write_all(descriptor, content)
        else:
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                content(stream)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a disk that is nearly full takes a part and refuses the rest
        written += os.write(descriptor, data[written:])


def _open_for_append(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    descriptor = _in_its_folder(file, lambda: os.open(file, flags, 0o666))
    try:
        _drop_unfinished_line(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _drop_unfinished_line(descriptor: int, block: int = 4096) -> None:
    end = size = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Write to the disk what the system still holds back for the file system of `folder`.

    One call for many files costs less than an fsync for each. Systems without `syncfs` sync all disks;
    Windows has neither.
    """
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if not hasattr(libc, "syncfs"):
        getattr(os, "sync", lambda: None)()
        return
    assert libc is not None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    _sync_file(folder)
