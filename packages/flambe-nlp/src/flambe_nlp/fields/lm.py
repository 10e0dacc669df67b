"""`LMField`: a corpus as one stream of token numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from flambe_nlp.fields.text import TextField
from flambe_nlp.tokenizers import SpaceTokenizer, Tokenizer
from flambe_nlp.vectors import VectorSource
from flambe_torch.data import PackedColumn, Rows

_PIECE = 1 << 20
"""Longer texts are tokenized in pieces of about this many characters."""


class LMField(TextField):
    """Texts as token numbers, laid end to end, with `eos_token` behind each text.

    What is read is a stream: texts may come from any iterable and are taken one by one, long ones in pieces,
    so that a corpus needs 4 bytes a token and never all its tokens as strings.

    Args:
        tokenizer: `SpaceTokenizer()` if not given, as corpora are tokenized already; `CharTokenizer()` for
            characters.
        eos_token: Put behind every text; None for nothing.

    The other arguments are those of `TextField`.

    Example:
        >>> field = LMField()
        >>> field.setup(["the cat sat", "the dog"])
        >>> field.vocab.tokens
        ('<pad>', '<unk>', '<eos>', 'the', 'cat', 'dog', 'sat')
        >>> field.process(["the cat", "a dog sat"]).values.tolist()
        [3, 4, 2, 1, 5, 6, 2]
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        lower: bool = False,
        *,
        pad_token: str = "<pad>",  # noqa: S107 (no password)
        unk_token: str = "<unk>",  # noqa: S107 (no password)
        sos_token: str | None = None,
        eos_token: str | None = "<eos>",  # noqa: S107 (no password)
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        max_len: int | None = None,
        truncate: Literal["end", "start"] = "end",
        vocabulary: Sequence[str] | str | None = None,
        additional_special_tokens: Sequence[str] = (),
        embeddings: str | VectorSource | None = None,
        drop_unknown: bool = False,
    ) -> None:
        super().__init__(
            tokenizer or SpaceTokenizer(),
            lower,
            pad_token=pad_token,
            unk_token=unk_token,
            sos_token=sos_token,
            eos_token=eos_token,
            min_freq=min_freq,
            max_vocab_size=max_vocab_size,
            max_len=max_len,
            truncate=truncate,
            vocabulary=vocabulary,
            additional_special_tokens=additional_special_tokens,
            embeddings=embeddings,
            drop_unknown=drop_unknown,
        )

    def setup(self, texts: Iterable[str]) -> None:
        """Learn the vocabulary of the texts of the training part."""
        self._learn(tokens for text in texts for tokens in self._pieces(text))

    def process(self, texts: Iterable[str]) -> PackedColumn:
        """One row of token numbers (N,) int32 for each text; `values` are those of all, the stream."""
        numbers, vocab = array("i"), self.vocab
        offsets = array("q", [0])
        for text in texts:
            for tokens in self._pieces(text):
                numbers.extend(vocab.numbers(self._kept(tokens)))
            offsets.append(len(numbers))
        values = np.frombuffer(numbers, dtype=np.int32) if numbers else np.zeros(0, dtype=np.int32)
        bounds = np.frombuffer(offsets, dtype=np.int64)
        return PackedColumn(self._without_padding(values), bounds, pad_index=self.pad_index)

    def _pieces(self, text: str) -> Iterator[list[str]]:
        """The tokens of a text, framed, in one list or several."""
        if len(text) <= _PIECE or self.max_len is not None:
            yield self.tokenize(text)
            return
        if self.sos_token is not None:
            yield [self.sos_token]
        for piece in self.tokenizer.pieces(text, _PIECE):
            yield self.tokenizer.tokenize(piece.lower() if self.lower else piece)
        if self.eos_token is not None:
            yield [self.eos_token]


def shifted(column: PackedColumn) -> Rows:
    """Rows of `text` and `target` for texts that are read each by itself.

    Of each text's tokens, `text` holds all but the last and `target`, one place later, all but the first.
    Texts without two tokens have no row.
    """
    lengths = column.lengths
    kept = column.select(np.flatnonzero(lengths > 1))
    offsets = kept.offsets
    first, last = np.ones(len(kept.values), dtype=bool), np.ones(len(kept.values), dtype=bool)
    first[offsets[:-1]] = False
    last[offsets[1:] - 1] = False
    shorter = offsets - np.arange(len(offsets))
    text = PackedColumn(kept.values[last], shorter, column.pad_index)
    return Rows({"text": text, "target": PackedColumn(kept.values[first], shorter, column.pad_index)})
