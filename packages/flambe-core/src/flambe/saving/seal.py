"""Checksums: every folder of a save has a file that names its files and parts, written last.

The seal of a folder holds the checksums of its files and of the seals of its parts, so any folder can be
verified alone, wherever it was copied. A folder without a seal is no save.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from flambe.errors import DamagedSaveError, MissingFileError, SavingError
from flambe.storage.storage import Content, Storage, clean_path

SEAL = "checksums.json"
FORMAT = 1
_BLOCK = 1 << 20


class Sealing:
    """Collects the files of a save, children before parents, each folder's seal after its other files."""

    def __init__(self) -> None:
        self.files: dict[str, Content] = {}
        self._written: dict[str, tuple[int, str]] = {}

    def add_folder(self, folder: str, files: Mapping[str, Content], parts: Mapping[str, str]) -> None:
        """Add a folder's files and its seal. `parts` maps names relative to `folder` to added folders."""
        for name, content in files.items():
            self._add(_join(folder, name), content)
        self._add(_join(folder, SEAL), lambda out: _write_all(out, self._seal(folder, files, parts)))

    def _add(self, path: str, content: Content) -> None:
        def write(out: BinaryIO) -> None:
            hashing = _HashingStream(out)
            if isinstance(content, bytes):
                hashing.write(content)
            else:
                content(cast(BinaryIO, hashing))
            self._written[path] = hashing.size, hashing.digest()

        self.files[path] = write

    def _seal(self, folder: str, files: Mapping[str, Content], parts: Mapping[str, str]) -> bytes:
        sums = {name: self._written[_join(folder, name)] for name in files}
        below = {name: self._written[_join(part, SEAL)][1] for name, part in parts.items()}
        return seal_text({name: {"bytes": n, "sha256": digest} for name, (n, digest) in sums.items()}, below)


def seal_text(files: Mapping[str, Mapping[str, Any]], parts: Mapping[str, str]) -> bytes:
    """The text of a seal; its last entry is the checksum of the rest."""
    body = {"format": FORMAT, "files": files, "parts": parts}
    return json.dumps({**body, "seal": _digest_of(body)}, indent=1).encode() + b"\n"


class SealedFolder:
    """A folder of a save, each file verified when it is read. `seal` is the file with the checksums.

    Raises:
        SavingError: There is no finished save in the folder.
        DamagedSaveError: The seal was altered, or is not the one that the folder above names.
    """

    def __init__(self, storage: Storage, folder: str = "", *, seal: str | None = None) -> None:
        self._storage = storage
        self.folder = folder
        self.seal = self._read(seal)
        self._sums, self.parts = self._parse(self.seal)

    @property
    def url(self) -> str:
        return self._storage.join(self.folder)

    def names(self) -> list[str]:
        """The names of the sealed files."""
        return list(self._sums)

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    def part(self, name: str) -> SealedFolder:
        """The folder of a part, by its name relative to this folder."""
        return SealedFolder(self._storage, _join(self.folder, name), seal=self.parts[name])

    def walk(self) -> Iterator[SealedFolder]:
        """This folder and those of all parts, parents first."""
        yield self
        for name in self.parts:
            yield from self.part(name).walk()

    def verify(self, *, but: tuple[str, ...] = ()) -> None:
        """Read every file of this folder and of all parts, but those whose names start with one of `but`.

        Raises:
            DamagedSaveError: One is missing, cut short or altered.
        """
        for folder in self.walk():
            for name in folder.names():
                if not name.startswith(but):
                    with folder.open(name):
                        pass

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DamagedSaveError: It is missing, cut short or altered.
        """
        with self.open(name) as stream:
            return stream.read()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A stream of a file that was read once to verify it."""
        if name not in self._sums:
            raise DamagedSaveError(f"{self._at(name)} is not a file of this save")
        try:
            with self._storage.open(_join(self.folder, name)) as stream:
                self._verify(name, stream)
                stream.seek(0)
                yield stream
        except MissingFileError as error:
            raise DamagedSaveError(f"{self._at(name)} is missing; {_ADVICE}") from error

    def _verify(self, name: str, stream: BinaryIO) -> None:
        expected = self._sums[name]
        size, digest = _size_and_digest(stream)
        if size != expected["bytes"]:
            how = "cut short" if size < expected["bytes"] else "altered"
            said = f"it has {size} bytes instead of {expected['bytes']}"
            raise DamagedSaveError(f"{self._at(name)} was {how} ({said}); {_ADVICE}")
        if digest != expected["sha256"]:
            raise DamagedSaveError(f"{self._at(name)} was altered (its checksum does not fit); {_ADVICE}")

    def _read(self, expected: str | None) -> bytes:
        try:
            data = self._storage.read(_join(self.folder, SEAL))
        except MissingFileError as error:
            if expected is not None:
                raise DamagedSaveError(f"{self._at(SEAL)} is missing; {_ADVICE}") from error
            raise MissingFileError(f"{self.url} holds no finished save: it has no {SEAL}") from error
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise DamagedSaveError(f"{self._at(SEAL)} was altered (its checksum does not fit); {_ADVICE}")
        return data

    def _parse(self, data: bytes) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        try:
            body = json.loads(data)
            said = body.pop("seal")
            format_, files, parts = body["format"], dict(body["files"]), dict(body["parts"])
            whole = said == _digest_of(body)
            if whole and format_ == FORMAT:
                _check_names(files, parts)
                whole = data == seal_text(files, parts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedSaveError(f"{self._at(SEAL)} was altered; {_ADVICE}") from error
        if not whole:
            raise DamagedSaveError(f"{self._at(SEAL)} was altered (its checksum does not fit); {_ADVICE}")
        if format_ != FORMAT:
            raise SavingError(f"{self.url} was saved in format {format_}, this Flambé reads format {FORMAT}")
        return files, parts

    def _at(self, name: str) -> str:
        return self._storage.join(_join(self.folder, name))


_ADVICE = "restore it from a copy, or save again"


class _HashingStream:
    """Passes on what is written, front to back, and keeps count."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._out.write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    def flush(self) -> None:
        self._out.flush()

    def digest(self) -> str:
        return self._hash.hexdigest()


def _size_and_digest(stream: BinaryIO) -> tuple[int, str]:
    sha, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        sha.update(block)
        size += len(block)
    return size, sha.hexdigest()


def _digest_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _check_names(files: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """No name leads out of the folder."""
    for name, sums in files.items():
        if "/" in name or "\\" in name or clean_path(name) != name or name == SEAL:
            raise ValueError(name)
        if not isinstance(sums["bytes"], int) or not isinstance(sums["sha256"], str):
            raise TypeError(name)
    for name in parts:
        if not name or clean_path(name) != name:
            raise ValueError(name)


def _write_all(out: BinaryIO, data: bytes) -> None:
    out.write(data)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name
