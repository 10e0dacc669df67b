"""`once`: arrays that one trial of a run computes, and that all its other trials read.

They lie in the run's folder, `shared/<key>/<name>.npy`, with checksums, and stay there: a run that is
resumed reads them too.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from platformdirs import user_cache_path

from flambe.errors import DamagedSaveError, MissingFileError, OutputLockedError
from flambe.saving.seal import SealedFolder, Sealing
from flambe.storage.lock import FolderLock
from flambe.storage.storage import Content, Storage, protocol_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "Mapping[str, npt.NDArray[Any]]"

FOLDER = "shared"
"""Where they lie in the run's folder."""
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,119}", re.ASCII)
_ENDING = ".npy"
_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.5
_log = logging.getLogger(__name__)


def once(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` returns, computed by the first trial of this run that asks for `key`.

    Other trials wait meanwhile, and read what it left; if it dies, the next one computes. On machines
    that share no disk, each may compute once. Outside a run `compute` is simply called.

    Args:
        key: Says all that the arrays depend on, such as a hash of it: letters, digits, `.`, `_`, `+`, `-`.
        compute: Gives arrays of numbers by name; names as keys.

    Returns:
        The arrays, read-only; mapped from their files where these are local, so that processes of one
        machine share their memory.

    Example:
        >>> import numpy as np
        >>> arrays = once("squares-of-3", lambda: {"squares": np.arange(3) ** 2})
        >>> arrays["squares"].tolist()
        [0, 1, 4]
    """
    _check(key, "key")
    shelf = SHELF.get()
    return _read_only(compute()) if shelf is None else shelf.get(key, compute)


class Shelf:
    """Where the trials of one run keep what they share.

    Args:
        storage: The run's folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._is_local = protocol_of(storage.url) == "file"

    def get(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """What was computed for `key`; by `compute`, if it was not yet."""
        found = self._read(key)
        if found is not None:
            return found
        with self._turn(key):
            found = self._read(key)  # another one may have computed it while this one waited
            if found is None:
                self._write(key, _read_only(compute()))
                found = self._read(key)
        assert found is not None, "it was just written"
        return found

    def _read(self, key: str) -> Arrays | None:
        try:
            folder = SealedFolder(self._storage, f"{FOLDER}/{key}")
            return {name.removesuffix(_ENDING): self._array(folder, name) for name in folder.names()}
        except MissingFileError:
            return None
        except DamagedSaveError as error:
            _log.warning("%s; it is computed again", error)
            return None

    def _array(self, folder: SealedFolder, name: str) -> np.ndarray[Any, Any]:
        import numpy as np

        with folder.open(name) as stream:
            if not self._is_local:
                return _frozen(np.load(io.BytesIO(stream.read()), allow_pickle=False))
            path = self._storage.join(f"{folder.folder}/{name}")
            return cast("np.ndarray[Any, Any]", np.load(path, mmap_mode="r", allow_pickle=False))

    def _write(self, key: str, arrays: Arrays) -> None:
        files = {f"{name}{_ENDING}": _file(array) for name, array in arrays.items()}
        sealing = Sealing()
        sealing.add_folder("", files, {})
        self._storage.write_folder(f"{FOLDER}/{key}", sealing.files, durable=False)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Only one process of this machine is inside; the system lets the next one in if it dies."""
        file = self._lock_file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        pause = _PAUSE_S
        while True:
            try:
                lock = FolderLock.take(file)
                break
            except OutputLockedError:
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE_S)
        with lock:
            yield

    def _lock_file(self, key: str) -> Path:
        if self._is_local:
            return Path(self._storage.join(f"{FOLDER}/{key}.lock"))
        name = hashlib.sha256(f"{self._storage.url}\0{key}".encode()).hexdigest()[:32]
        return user_cache_path("flambe") / "once" / f"{name}.lock"


SHELF: ContextVar[Shelf | None] = ContextVar("flambe_shelf", default=None)
"""The shelf of the run whose trial is running; None outside a run."""


def _file(array: np.ndarray[Any, Any]) -> Content:
    def write(out: BinaryIO) -> None:
        import numpy as np

        np.lib.format.write_array(out, array, allow_pickle=False)

    return write


def _read_only(arrays: Arrays) -> Arrays:
    import numpy as np

    found = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in found.items():
        _check(name, "name")
        if array.dtype.kind not in "biufc":
            raise TypeError(f"once keeps arrays of numbers, but {name!r} is of {array.dtype}")
    return {name: _frozen(array) for name, array in found.items()}


def _frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    view: np.ndarray[Any, Any] = array.view()
    view.flags.writeable = False
    return view


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith(".lock"):
        raise ValueError(
            f"{name!r} cannot be a {what}: use up to 120 letters, digits and . _ + -, a letter or digit first"
        )
