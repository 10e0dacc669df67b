"""`BoWField`: texts as bags of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from flambe_nlp.fields.field import Field
from flambe_nlp.tokenizers import NGramTokenizer, Tokenizer
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.data import Array, Indices


class BagColumn:
    """A column of sparse rows; a batch is dense: (B, V) float32.

    Row i has the numbers `values[offsets[i]:offsets[i + 1]]` at the places `places[…]`, and 0 elsewhere.
    """

    __slots__ = ("offsets", "places", "size", "values")

    def __init__(self, values: Array, places: Array, offsets: Array, size: int) -> None:
        self.values, self.places, self.offsets, self.size = values, places, offsets, size
        for array in (values, places, offsets):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Array:
        row = range(len(self))[row]
        dense: Array = self._dense(np.array([row]))[0]
        return dense

    @property
    def lengths(self) -> Array | None:
        return None

    def batch(self, indices: Indices, pad_index: int | float = 0) -> torch.Tensor:
        return torch.from_numpy(self._dense(np.asarray(indices, dtype=np.int64)))

    def select(self, indices: Indices) -> BagColumn:
        entries, rows = self._entries(np.asarray(indices, dtype=np.int64))
        counts = np.bincount(rows, minlength=len(indices))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return BagColumn(self.values[entries], self.places[entries], offsets, self.size)

    def _dense(self, indices: Array) -> Array:
        entries, rows = self._entries(indices)
        dense = np.zeros((len(indices), self.size), dtype=np.float32)
        dense[rows, self.places[entries]] = self.values[entries]
        return dense

    def _entries(self, indices: Array) -> tuple[Array, Array]:
        """Which entries are those of the rows at `indices`, and the row of each among them."""
        starts = self.offsets[indices]
        counts = self.offsets[indices + 1] - starts
        rows = np.repeat(np.arange(len(indices)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return starts[rows] + within, rows


class BoWField(Field):
    """Texts as bags of words: how often each token of the vocabulary is in a text, (V,) float32.

    The vocabulary is counted on the training part. Rows are kept sparse, and batches are made dense.

    Args:
        tokenizer: `NGramTokenizer(n=1)` if not given; with n of 1 and 2, for instance, a bag of both.
        lower: Lower-case the text first.
        unk_token: Number 0; counts the tokens that the vocabulary does not hold. None leaves them out.
        min_freq: Leave out tokens seen less often in the training part.
        max_vocab_size: Keep the most frequent tokens only, this many with `unk_token`.
        normalize: Divide a text's counts by their sum.
        scale_factor: Multiply by this in the end.

    Attributes:
        vocab: The vocabulary; `vocab_size` is V.

    Example:
        >>> field = BoWField(lower=True, min_freq=2)
        >>> field.setup(["Who was who?", "Why?"])
        >>> field.vocab.tokens
        ('<unk>', '?', 'who')
        >>> field.process(["Who knows who sang?"])[0].tolist()
        [2.0, 1.0, 2.0]
    """

    embeddings: None = None

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        lower: bool = False,
        *,
        unk_token: str | None = "<unk>",  # noqa: S107 (no password)
        min_freq: int = 5,
        max_vocab_size: int | None = None,
        normalize: bool = False,
        scale_factor: float = 1.0,
    ) -> None:
        self.tokenizer = tokenizer or NGramTokenizer(1)
        self.lower = lower
        self.unk_token = unk_token
        self.min_freq, self.max_vocab_size = min_freq, max_vocab_size
        self.normalize, self.scale_factor = normalize, scale_factor
        self._vocab: Vocabulary | None = None

    @property
    def is_ready(self) -> bool:
        return self._vocab is not None

    @property
    def vocab(self) -> Vocabulary:
        if self._vocab is None:
            raise ValueError("the field has no vocabulary yet: call setup with the training texts")
        return self._vocab

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @property
    def pad_index(self) -> int:
        raise AttributeError("a bag of words has no padding")

    def setup(self, texts: Sequence[str]) -> None:
        self._vocab = Vocabulary.counted(
            map(self._tokens, texts),
            special=[] if self.unk_token is None else [self.unk_token],
            unknown=self.unk_token,
            min_freq=self.min_freq,
            max_size=self.max_vocab_size,
        )

    def process(self, texts: Sequence[str]) -> BagColumn:
        """One sparse row (V,) for each text."""
        vocab = self.vocab
        lists = [self._tokens(text) for text in texts]
        if self.unk_token is None:
            lists = [[token for token in tokens if token in vocab] for tokens in lists]
        numbers, ends = vocab.encode(lists)
        size = max(len(vocab), 1)
        rows = np.repeat(np.arange(len(lists)), np.diff(ends))
        cells, counts = np.unique(rows * size + numbers, return_counts=True)  # sorted by row, then by token
        rows, places = np.divmod(cells, size)
        values = counts.astype(np.float32)
        if self.normalize:
            values /= np.bincount(rows, weights=counts, minlength=len(lists))[rows].astype(np.float32)
        values *= np.float32(self.scale_factor)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(lists)))])
        return BagColumn(values, places.astype(np.int32), offsets, len(vocab))

    def custom_state(self) -> Mapping[str, Any] | None:
        return None if self._vocab is None else {"vocabulary": list(self._vocab.tokens)}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self._vocab = Vocabulary(state["vocabulary"], unknown=self.unk_token)

    def _tokens(self, text: str) -> list[str]:
        return self.tokenizer.tokenize(text.lower() if self.lower else text)
