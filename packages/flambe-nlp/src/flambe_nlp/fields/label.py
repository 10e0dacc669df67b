"""`LabelField`: labels to numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from flambe_nlp.fields.field import Field
from flambe_nlp.vocabulary import Vocabulary, listed
from flambe_torch.data import ArrayColumn
from flambe_torch.errors import DataError

_NOT_READY = "the label field has no labels yet: call setup with the training labels"


class LabelField(Field):
    """Labels as numbers, in alphabetical order unless `labels` gives another.

    Args:
        one_hot: A row of zeros with a one, (R, C) float32, instead of the class's number, (R,).
        multilabel_sep: What parts the labels of one text; rows are then zeros and ones, (R, C) float32.
        labels: All labels in order, or the path or URL of a file with one on each line; counted on the
            training part if not given.

    Attributes:
        labels: The labels' names, by number.
        label_count: How often each was seen in training, (C,) int64; `label_freq` is its share, (C,) float32,
            and `label_inv_freq` the inverse of that, as `weight` of a loss (0 for a label that was not seen).

    Example:
        >>> field = LabelField()
        >>> field.setup(["LOC", "HUM", "LOC"])
        >>> field.labels, field.process(["LOC", "HUM"]).values.tolist()
        (('HUM', 'LOC'), [1, 0])
    """

    def __init__(
        self,
        one_hot: bool = False,
        multilabel_sep: str | None = None,
        labels: Sequence[str] | str | None = None,
    ) -> None:
        self.one_hot = one_hot
        self.multilabel_sep = multilabel_sep
        self._given = labels
        self._vocab: Vocabulary | None = None
        self._count = np.zeros(0, dtype=np.int64)

    @property
    def is_ready(self) -> bool:
        return self._vocab is not None

    @property
    def vocab(self) -> Vocabulary:
        if self._vocab is None:
            raise ValueError(_NOT_READY)
        return self._vocab

    @property
    def labels(self) -> tuple[str, ...]:
        return self.vocab.tokens

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @property
    def label_count(self) -> torch.Tensor:
        if not self.is_ready:
            raise ValueError(_NOT_READY)
        return torch.tensor(self._count.tolist(), dtype=torch.int64)

    @property
    def label_freq(self) -> torch.Tensor:
        counts = self.label_count
        return counts / counts.sum().clamp(min=1)

    @property
    def label_inv_freq(self) -> torch.Tensor:
        counts = self.label_count
        return torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0)

    def setup(self, texts: Sequence[str]) -> None:
        """Learn the labels of the training part, and count them.

        Raises:
            DataError: `labels` were given, and there are others.
        """
        counts = Counter(label for text in texts for label in self._split(text))
        vocab = Vocabulary(sorted(counts) if self._given is None else map(str, listed(self._given)))
        unlisted = next((label for label in counts if label not in vocab), None)
        if unlisted is not None:
            raise DataError(self._unknown(unlisted, texts, vocab))
        self._vocab = vocab
        self._count = np.array([counts[label] for label in vocab], dtype=np.int64)

    def process(self, texts: Sequence[str]) -> ArrayColumn:
        """Each text's label as a number (R,), or as zeros and ones (R, C).

        Raises:
            DataError: A label was not seen in training, nor given.
        """
        lists = [self._split(text) for text in texts]
        try:
            numbers, offsets = self.vocab.encode(lists)
        except KeyError as error:
            raise DataError(self._unknown(str(error.args[0]), texts, self.vocab)) from None
        if not self.one_hot and self.multilabel_sep is None:
            return ArrayColumn(numbers)
        rows = np.repeat(np.arange(len(lists)), np.diff(offsets))
        hot = np.zeros((len(lists), len(self.vocab)), dtype=np.float32)
        hot[rows, numbers] = 1
        return ArrayColumn(hot)

    def custom_state(self) -> Mapping[str, Any] | None:
        if self._vocab is None:
            return None
        return {"labels": list(self._vocab.tokens), "count": self._count.tolist()}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self._vocab = Vocabulary(state["labels"])
        self._count = np.array(state["count"], dtype=np.int64)

    def _split(self, text: str) -> list[str]:
        if self.multilabel_sep is None:
            return [text]
        return [label.strip() for label in text.split(self.multilabel_sep) if label.strip()]

    def _unknown(self, label: str, texts: Sequence[str], vocab: Vocabulary) -> str:
        row = next(row for row, text in enumerate(texts) if label in self._split(text))
        shown = ", ".join(vocab.tokens[:20]) + (", …" if len(vocab) > 20 else "")
        if self._given is not None:
            return f"row {row} has the label {label!r}, which is none of those given: {shown}"
        return f"row {row} has the label {label!r}, which the training part does not have; it has {shown}"
