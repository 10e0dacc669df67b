"""Storage: where runs and saves are written, a local folder or any fsspec URL.

Paths are relative to the storage, with `/` between names. A file appears whole or not at all.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Protocol, TypeAlias

from flambe.errors import MissingFileError, RunError, SavingError

Content: TypeAlias = "bytes | Callable[[BinaryIO], None]"
"""What a file holds: its bytes, or a function that writes them to a stream from front to back."""


class Lock(Protocol):
    """Held from the moment it is made, until the block ends or `release` is called."""

    def release(self) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...


class Storage(Protocol):
    """A place with files. Every method raises SavingError, which names the file and what to do.

    `durable` means that the data survives a power cut once the call returned; a killed process loses
    nothing either way, except lines that were appended to a remote storage and not flushed.
    """

    @property
    def url(self) -> str:
        """The folder or URL that this storage is."""

    def join(self, path: str) -> str:
        """The path or URL of a file or folder inside this storage."""

    def within(self, path: str) -> Storage:
        """The storage of a folder inside this one."""

    def exists(self, path: str = "") -> bool:
        """Whether there is a file or folder."""

    def list(self, path: str = "") -> Sequence[str]:
        """The names in a folder, sorted; empty for a folder that is not there."""

    def read(self, path: str) -> bytes:
        """A file's bytes; MissingFileError if there is none."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A seekable stream of a file's bytes; MissingFileError if there is none.

        A symbolic link is not followed.
        """

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Write a file, its folders included; a reader finds the old bytes or the new ones."""

    def write_folder(
        self, path: str, files: Mapping[str, Content], *, keep: bool = False, durable: bool = True
    ) -> None:
        """Write a folder of files all or nothing: the last of `files` is only there when all others are.

        What the folder held before is gone afterwards; with `keep`, files of other names stay.
        """

    def append(self, path: str, lines: bytes, *, durable: bool = False) -> None:
        """Add whole lines at the end of a file; a last line that a kill cut short is dropped first."""

    def flush(self) -> None:
        """Make every appended line readable by others."""

    def sync(self) -> None:
        """Make everything that any process wrote here so far survive a power cut."""

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all it holds, if it is there."""

    def clear(self) -> None:
        """Remove everything inside but the lock."""

    def lock(self) -> Lock:
        """Own this storage until the lock is released; cleans up what a killed owner left half-written.

        Raises:
            OutputLockedError: Another process owns it; the message names the process.
        """

    def is_locked(self) -> bool:
        """Whether a process owns this storage; looking keeps nobody from taking the lock."""

    def close(self) -> None:
        """Flush, and let go of open files."""


StorageFactory: TypeAlias = Callable[[str], Storage]


def open_storage(
    url: str | os.PathLike[str], find: Callable[[str], StorageFactory | None] | None = None
) -> Storage:
    """The storage at a local path or a URL of any protocol that fsspec knows.

    `find` gives a plugin's factory for a protocol; fsspec serves the others.
    """
    text = os.fspath(url)
    protocol = protocol_of(text)
    factory = find(protocol) if find is not None else None
    if factory is not None:
        return factory(text)
    if protocol == "file":
        from flambe.storage.local import LocalStorage

        return LocalStorage(text)
    from flambe.storage.remote import RemoteStorage

    return RemoteStorage(text)


def protocol_of(url: str) -> str:
    """The protocol before `://`; `file` for a path."""
    protocol, separator, _ = url.partition("://")
    return protocol.split("::")[0] if separator else "file"


def refuse_private(url: str) -> None:
    """Refuse what other processes would not see.

    Raises:
        RunError: it lies in this process's memory.
    """
    if protocol_of(url) == "memory":
        raise RunError(
            f"{url} lies in the memory of this process, and trials run in others, which do not see it: "
            "give another save_path, or run with --debug"
        )


def parent_and_name(url: str | os.PathLike[str]) -> tuple[str, str]:
    """The folder that holds the last name of a path or URL, and that name."""
    text = os.fspath(url)
    if protocol_of(text) == "file":
        parent, name = os.path.split(os.path.abspath(text.removeprefix("file://")))
        return parent, name
    parent, _, name = text.rstrip("/").rpartition("/")
    return parent, name


def clean_path(path: str) -> str:
    """`path` without empty steps.

    Raises:
        SavingError: The path is absolute or leads out of the storage.
    """
    steps = path.replace(os.sep, "/").split("/")
    if path.startswith(("/", "\\")) or ".." in steps or (steps and steps[0].endswith(":")) or "\0" in path:
        raise SavingError(f"{path!r} is not a path inside the storage")
    return "/".join(step for step in steps if step and step != ".")


@contextmanager
def explained(action: str, where: str) -> Iterator[None]:
    """Turn an OSError into a SavingError that names the file and says what to do."""
    try:
        yield
    except SavingError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"cannot {action} {where}: there is no such file or folder") from error
    except (OSError, ImportError) as error:
        raise SavingError(f"cannot {action} {where}: {_reason(error)}") from error


def _reason(error: OSError | ImportError) -> str:
    if isinstance(error, ImportError):
        return f"{error}; install the package for this protocol"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and try again"
    if error.errno == errno.EFBIG:
        return "the file is larger than this system allows"
    if error.errno == errno.ELOOP:
        return "it is a link to another file"
    if error.errno == errno.EROFS:
        return "the file system is read-only; choose another folder"
    if isinstance(error, PermissionError):
        return "permission denied; change the permissions or choose another folder"
    if isinstance(error, NotADirectoryError | FileExistsError):
        return "a file is where a folder should be; remove it or choose another folder"
    return str(error.strerror or error) or type(error).__name__
