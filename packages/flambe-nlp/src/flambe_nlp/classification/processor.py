"""`TCProcessor`: a data set of texts and labels as tables of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from flambe_nlp.fields import BoWField, Field, LabelField, TextField
from flambe_nlp.pretrained.field import PretrainedTransformerField
from flambe_nlp.tables import RowsOfStrings, Tables
from flambe_nlp.vectors import FloatArray, VectorSource, WordVectors
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.data import Rows
from flambe_torch.errors import DataError


class TCProcessor(Tables):
    """Turns the texts and labels of a data set into numbers, once.

    The vocabulary and the labels come from the training part alone. They are what is saved: a loaded
    processor takes raw text with no data set at hand, and reads the data set again only when `train`,
    `dev` or `test` is asked for. Nothing is read before it is needed.

    Args:
        dataset: What has `train`, `dev` and `test`, each rows of (text, label).
        text_field: For the texts; `TextField()` if not given.
        label_field: For the labels; `LabelField()` if not given.
        embeddings: Word vectors for the vocabulary, as the argument of `TextField`.

    Attributes:
        train: The training part as a table of `text` and `label`; `dev` and `test` likewise.
        vocab_size: How many tokens the vocabulary has, special ones included.
        n_labels: How many labels there are; `num_labels` is the same.
        labels: Their names, by number.
        embeddings: The vocabulary's vectors, (V, D) float32, or None.

    Example:
        >>> from flambe_nlp.classification import QuestionsDataset
        >>> processor = TCProcessor(QuestionsDataset())
        >>> processor.labels
        ('ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM')
        >>> processor.process(["Who wrote Hamlet?", "Why?"]).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        dataset: RowsOfStrings,
        text_field: TextField | PretrainedTransformerField | BoWField | None = None,
        label_field: LabelField | None = None,
        embeddings: str | VectorSource | None = None,
    ) -> None:
        if text_field is not None and embeddings is not None:
            if isinstance(text_field, BoWField):
                raise ValueError("a BoWField takes no embeddings: it has no sequence of tokens")
            if text_field.vectors is not None:
                raise ValueError("embeddings are given twice: to the processor and to its text field")
            text_field.vectors = WordVectors(embeddings) if isinstance(embeddings, str) else embeddings
        super().__init__()
        self.dataset = dataset
        self.text_field: TextField | PretrainedTransformerField | BoWField = text_field or TextField(
            embeddings=embeddings
        )
        self.label_field = label_field or LabelField()
        self._fields: dict[str, Field] = {"text_field": self.text_field, "label_field": self.label_field}
        given = {"text_field": text_field, "label_field": label_field}
        self._given = frozenset(name for name, field in given.items() if field is not None)

    @property
    def vocab(self) -> Vocabulary:
        self._learn()
        return self.text_field.vocab

    @property
    def vocab_size(self) -> int:
        self._learn()
        return self.text_field.vocab_size

    @property
    def pad_index(self) -> int:
        self._learn()
        return self.text_field.pad_index

    @property
    def embeddings(self) -> FloatArray | None:
        self._learn()
        return self.text_field.embeddings

    @property
    def labels(self) -> tuple[str, ...]:
        self._learn()
        return self.label_field.labels

    @property
    def n_labels(self) -> int:
        return len(self.labels)

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    def process(self, texts: Sequence[str]) -> torch.Tensor:
        """Token numbers of raw texts, padded to the longest: (B, T), int64."""
        self._learn()
        return self.text_field.process(texts).batch(range(len(texts)))

    def names(self, numbers: Sequence[int] | npt.NDArray[np.integer[Any]] | torch.Tensor) -> list[str]:
        """The labels' names of class numbers (B,)."""
        labels = self.labels
        return [labels[int(number)] for number in numbers]

    def custom_state(self) -> Mapping[str, Any] | None:
        """What the fields learned that is not saved with themselves.

        A field that was given is a part with a state of its own, unless it was asked for it before it had
        learned anything.
        """
        kept = [name for name, field in self._fields.items() if name not in self._given or not field.is_ready]
        self._learn()
        return {
            f"{name}.{key}": value
            for name in kept
            for key, value in (self._fields[name].custom_state() or {}).items()
        }

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        for name, field in self._fields.items():
            start = f"{name}."
            own = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
            if own:
                field.load_custom_state(own)

    def _learn(self) -> None:
        for place, field in enumerate(self._fields.values()):
            if not field.is_ready:
                field.setup(_columns("train", self.dataset.train)[place])

    def _table_of(self, part: str) -> Rows:
        self._learn()
        texts, labels = _columns(part, getattr(self.dataset, part))
        try:
            label_column = self.label_field.process(labels)
        except DataError as error:
            raise DataError(f"the {part} part: {error}") from error
        return Rows({"text": self.text_field.process(texts), "label": label_column})


def _columns(part: str, rows: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    if not len(rows):
        if part == "train":
            raise DataError("the data set has no training rows")
        return [], []
    if len(rows[0]) != 2:
        raise DataError(f"a row of the {part} part holds {len(rows[0])} values, expected a text and a label")
    return [row[0] for row in rows], [row[1] for row in rows]
