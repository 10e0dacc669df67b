"""20 Newsgroups, in its version by date."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import fsspec

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset, split_off
from flambe_torch.errors import DataError
from flambe_torch.published import PublishedFile, find

ARCHIVE = PublishedFile(
    "newsgroups/20news-bydate.tar.gz",
    "8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610",
    (
        "http://qwone.com/~jason/20Newsgroups/20news-bydate.tar.gz",
        "https://ndownloader.figshare.com/files/5975967",
    ),
)
Stripped = Literal["headers", "footers", "quotes"]
_FOLDERS = {"20news-bydate-train": "train", "20news-bydate-test": "test"}
_QUOTED = re.compile(r"\s*[>|]|In article\b|Quoted from\b|.*(?:writes in|writes:|wrote:|says:|said:)")


class NewsGroupsDataset(TextDataset):
    """20 Newsgroups by date: 11,314 + 7,532 messages, labelled by their group, such as `sci.space`.

    There is no dev part: a seeded share of the training part is taken, the same on every machine; copies of
    one message stay together. The archive is read as a stream and unpacked nowhere.

    Args:
        remove: What to leave out of messages, as it gives the group away: `headers` (what stands before the
            first blank line), `footers` (what follows the last blank or dashed line), `quotes` (lines that
            quote another message, or say so).
        dev_ratio: The share of the training messages that becomes the dev part.
        seed: Chooses the dev part.
        path: `20news-bydate.tar.gz`, local or at an fsspec URL; found or downloaded if not given.

    Source: Lang, NewsWeeder: Learning to Filter Netnews, ICML 1995; this version: Rennie, 2003.
    """

    def __init__(
        self,
        remove: Sequence[Stripped] = (),
        *,
        dev_ratio: float = 0.1,
        seed: int = 0,
        path: str | None = None,
    ) -> None:
        unknown = [part for part in remove if part not in get_args(Stripped)]
        if isinstance(remove, str) or unknown:
            expected = ", ".join(get_args(Stripped))
            raise ValueError(f"remove must be a list of {expected}, not {remove!r}")
        self.remove = tuple(remove)
        self.dev_ratio, self.seed, self.path = dev_ratio, seed, path

    def read(self) -> Parts:
        path = str(ARCHIVE.locate()) if self.path is None else find(self.path)
        found: dict[str, dict[str, Row]] = {part: {} for part in _FOLDERS.values()}
        for part, group, number, text in _messages(path):
            found[part][f"{group}/{number}"] = (self._stripped(text), group)
        for part, rows in found.items():
            if not rows:
                expected = f"20news-bydate-{part}/<group>/<number>"
                raise DataError(f"{path} holds no {part} message, expected some named {expected}")
        train, test = ([found[part][name] for name in sorted(found[part])] for part in ("train", "test"))
        train, dev = split_off(train, self.dev_ratio, self.seed)
        return Parts(train, dev, test)

    def _stripped(self, text: str) -> str:
        if "headers" in self.remove:
            text = text.partition("\n\n")[2]
        if "footers" in self.remove:
            text = _without_footer(text)
        if "quotes" in self.remove:
            text = "\n".join(line for line in text.split("\n") if not _QUOTED.match(line))
        return text


def _messages(path: str) -> Iterator[tuple[str, str, str, str]]:
    """The part, the group, the number and the text of each message."""
    try:
        with fsspec.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:*") as archive:
            for member in archive:
                folder, *names = member.name.removeprefix("./").split("/")
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and folder in _FOLDERS and len(names) == 2:
                    yield _FOLDERS[folder], names[0], names[1], content.read().decode("latin-1")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole tar archive: {error}") from None


def _without_footer(text: str) -> str:
    lines = text.strip().split("\n")
    for place in range(len(lines) - 1, 0, -1):
        if not lines[place].strip().strip("-"):
            return "\n".join(lines[:place])
    return text
