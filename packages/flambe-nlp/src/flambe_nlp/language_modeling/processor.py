"""`LMProcessor`: a corpus as streams of token numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from flambe_nlp.fields.lm import LMField, shifted
from flambe_nlp.tables import RowsOfStrings, Tables
from flambe_nlp.vectors import FloatArray
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.data import Rows
from flambe_torch.errors import DataError


class LMProcessor(Tables):
    """Turns the texts of a data set into numbers, once; what `CorpusSampler` reads.

    The vocabulary comes from the training part alone. It is what is saved; the data set is read again only
    when `train`, `dev` or `test` is asked for. Nothing is read before it is needed.

    Args:
        dataset: What has `train`, `dev` and `test`, each rows that begin with a text.
        text_field: For the texts; `LMField()` if not given.
        by_document: Make a row of `text` and `target` (one place later) of each text, for a `BaseSampler`,
            instead of one stream of all of them for a `CorpusSampler`.

    Attributes:
        train: The training part as a table of token numbers; `dev` and `test` likewise.
        vocab_size: V, how many tokens the vocabulary has, special ones included.
        embeddings: The vocabulary's vectors, (V, D) float32, or None.

    Example:
        >>> from flambe_nlp.datasets import QuestionsDataset
        >>> from flambe_nlp.language_modeling import CorpusSampler
        >>> from flambe_nlp.tokenizers import WordTokenizer
        >>> processor = LMProcessor(QuestionsDataset(), LMField(WordTokenizer(), min_freq=2))
        >>> tokens, start, target = next(iter(CorpusSampler(processor.dev, batch_size=4, unroll_size=6)))
        >>> processor.names(tokens[0])
        ['Where', 'was', 'Jesus', '<unk>', '?', '<eos>']
    """

    def __init__(
        self, dataset: RowsOfStrings, text_field: LMField | None = None, *, by_document: bool = False
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.text_field = text_field or LMField()
        self.by_document = by_document
        self._field_given = text_field is not None

    @property
    def vocab(self) -> Vocabulary:
        self._learn()
        return self.text_field.vocab

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @property
    def pad_index(self) -> int:
        self._learn()
        return self.text_field.pad_index

    @property
    def embeddings(self) -> FloatArray | None:
        self._learn()
        return self.text_field.embeddings

    def process(self, texts: Sequence[str]) -> torch.Tensor:
        """Token numbers of raw texts, padded to the longest: (B, T), int64."""
        self._learn()
        return self.text_field.process(texts).batch(range(len(texts)))

    def names(self, numbers: Sequence[int] | torch.Tensor) -> list[str]:
        """The tokens of their numbers (T,)."""
        vocab = self.vocab
        return [vocab[int(number)] for number in numbers]

    def custom_state(self) -> Mapping[str, Any] | None:
        """The vocabulary, where the field does not save it: it was not given, or had learned nothing yet."""
        kept = not self._field_given or not self.text_field.is_ready
        self._learn()
        return self.text_field.custom_state() if kept else None

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.text_field.load_custom_state(state)

    def _learn(self) -> None:
        if not self.text_field.is_ready:
            self.text_field.setup(self._texts("train"))

    def _table_of(self, part: str) -> Rows:
        self._learn()
        column = self.text_field.process(self._texts(part))
        return shifted(column) if self.by_document else Rows({"text": column})

    def _texts(self, part: str) -> Iterator[str]:
        row = None
        for row in getattr(self.dataset, part):
            yield row[0]
        if row is None and part == "train":
            raise DataError("the data set has no training rows")
