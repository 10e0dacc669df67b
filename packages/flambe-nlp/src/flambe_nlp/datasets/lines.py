"""Texts in files of lines, read as a stream; plain or in a zip archive."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, overload

import fsspec

from flambe_nlp.datasets.dataset import Row
from flambe_torch.errors import DataError

_HEADING = re.compile(r"=\s.*\s=")


class Lines(Sequence[Row]):
    """The lines of a file as rows of one text each, without the space around them.

    They are read from the file whenever they are iterated over, and not kept: a file may be larger than
    memory. A row by number reads all lines before it.

    Args:
        path: Local path or fsspec URL of the file, or of a zip archive.
        member: The file's name in the archive; None if `path` is the file itself.
        headings: Whether lines such as `= = Title = =` are rows too.
    """

    def __init__(self, path: str, member: str | None = None, *, headings: bool = True) -> None:
        self.path, self.member, self.headings = path, member, headings
        self._count: int | None = None

    def __iter__(self) -> Iterator[Row]:
        with open_member(self.path, self.member) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    text = line.decode("utf-8").strip()
                except UnicodeDecodeError as error:
                    raise DataError(f"{self._name}:{number}: no utf-8 text ({error})") from None
                if self.headings or not _HEADING.fullmatch(text):
                    yield (text,)

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    @overload
    def __getitem__(self, row: int) -> Row: ...
    @overload
    def __getitem__(self, row: slice) -> list[Row]: ...
    def __getitem__(self, row: int | slice) -> Row | list[Row]:
        if isinstance(row, slice):
            places = range(len(self))[row]
            wanted = {place: line for place, line in enumerate(self) if place in places}
            return [wanted[place] for place in places]
        place = row if row >= 0 else row + len(self)
        found = next(islice(self, max(place, 0), None), None) if place >= 0 else None
        if found is None:
            raise IndexError(f"row {row} of {len(self)}")
        return found

    def joined(self, end_of_line_token: str) -> list[Row]:
        """One row with the whole text, `end_of_line_token` where a line ends."""
        return [(f" {end_of_line_token} ".join(text for (text,) in self),)]

    @property
    def _name(self) -> str:
        return self.path if self.member is None else f"{self.path}/{self.member}"


@contextmanager
def open_member(path: str, member: str | None) -> Iterator[BinaryIO]:
    """A stream of the file at `path`, or of a `member` of the zip archive there.

    Raises:
        DataError: It is no zip archive, or has no such member.
    """
    with fsspec.open(path, "rb") as stream:
        if member is None:
            yield stream
            return
        try:
            with zipfile.ZipFile(stream) as archive, archive.open(member) as inner:
                yield inner  # type: ignore[misc]  # what zipfile opens is binary
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{path} is no zip archive that holds {member}: {error}") from None
