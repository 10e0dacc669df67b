"""`WordCharsField`: the characters of each word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from flambe_nlp.fields.text import TextField
from flambe_torch.data import NestedColumn, PackedColumn


class WordCharsField(TextField):
    """Texts as the characters of their words: a batch is (B, T, C), the most words, the longest word.

    The vocabulary is one of characters. `sos_token` and `eos_token`, if given, frame each text as words of
    one character; the other arguments are those of `TextField`, and count words where they count tokens.

    Example:
        >>> field = WordCharsField(lower=True)
        >>> field.setup(["Who sang?"])
        >>> field.vocab.tokens
        ('<pad>', '<unk>', '?', 'a', 'g', 'h', 'n', 'o', 's', 'w')
        >>> field.process(["Who?", "A saw"]).batch([0, 1]).tolist()
        [[[9, 5, 7], [2, 0, 0]], [[3, 0, 0], [8, 3, 9]]]
    """

    def setup(self, texts: Sequence[str]) -> None:
        self._learn(self._chars(word) for text in texts for word in self.tokenize(text))

    def process(self, texts: Sequence[str]) -> NestedColumn:  # type: ignore[override]  # rows of rows
        lists = [self.tokenize(text) for text in texts]
        numbers, starts = self.vocab.encode(
            [self._kept(self._chars(word)) for word in chain.from_iterable(lists)]
        )
        offsets = np.cumsum([0, *map(len, lists)])
        column = PackedColumn(self._without_padding(numbers), starts, pad_index=self.pad_index)
        return NestedColumn(column, offsets)

    def _chars(self, word: str) -> Sequence[str]:
        return [word] if word in (self.sos_token, self.eos_token) else word
