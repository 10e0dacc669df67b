"""TREC question classification, and its file format."""

from __future__ import annotations

from typing import Literal

import fsspec

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset, split_off
from flambe_torch.errors import DataError
from flambe_torch.published import PublishedFile

_AUTHORS = "https://cogcomp.seas.upenn.edu/Data/QA/QC"
_COPY = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data/raw"
TRAIN = PublishedFile(
    "trec/train_5500.label",
    "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
    (f"{_AUTHORS}/train_5500.label", f"{_COPY}/TREC.train"),
)
TEST = PublishedFile(
    "trec/TREC_10.label",
    "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
    (f"{_AUTHORS}/TREC_10.label", f"{_COPY}/TREC.test"),
)
Labels = Literal["coarse", "fine"]


class TrecDataset(TextDataset):
    """TREC's 5,452 + 500 questions by what they ask for: 6 coarse or 50 fine classes.

    TREC has no dev part: a seeded tenth of the training part is taken. The training file repeats some
    questions; copies of one stay together. Ten test questions are in training too, as published.

    Args:
        labels: `coarse` (`LOC`) or `fine` (`LOC:city`).
        dev_ratio: The share of the training file that becomes the dev part.
        seed: Chooses the dev part.
        path: A folder or fsspec URL with `train_5500.label` and `TREC_10.label`; found or downloaded if
            not given.

    Source: Li and Roth, Learning Question Classifiers, COLING 2002.
    """

    def __init__(
        self, labels: Labels = "coarse", dev_ratio: float = 0.1, seed: int = 0, path: str | None = None
    ) -> None:
        self.labels = checked(labels)
        self.dev_ratio, self.seed, self.path = dev_ratio, seed, path

    def read(self) -> Parts:
        train_path, test_path = self._path(TRAIN), self._path(TEST)
        train, dev = split_off(read_trec(train_path, self.labels, "latin-1"), self.dev_ratio, self.seed)
        return Parts(train, dev, read_trec(test_path, self.labels, "latin-1"))

    def _path(self, file: PublishedFile) -> str:
        return str(file.locate()) if self.path is None else file.inside(self.path)


def read_trec(path: str, labels: Labels = "coarse", encoding: str = "utf-8") -> list[Row]:
    """The (question, label) rows of a file with `COARSE:fine question` on each line.

    Raises:
        DataError: A line is not of that form; the message names it.
    """
    rows: list[Row] = []
    with fsspec.open(path, "rb") as stream:
        # Cut at line feeds only: latin-1 texts may hold other characters that Python takes for line ends.
        lines = stream.read().decode(encoding).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, _, question = line.strip().partition(" ")
        coarse, colon, fine = label.partition(":")
        if not (coarse and colon and fine and question):
            raise DataError(f"{path}:{number}: expected 'COARSE:fine question', found {line[:60]!r}")
        rows.append((question, coarse if labels == "coarse" else label))
    if not rows:
        raise DataError(f"{path} holds no question")
    return rows


def checked(labels: Labels) -> Labels:
    """`labels` if it is one of the two kinds."""
    if labels not in ("coarse", "fine"):
        raise ValueError(f"labels must be 'coarse' or 'fine', not {labels!r}")
    return labels
