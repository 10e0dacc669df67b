"""`TextField`: texts to packed token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from flambe_nlp.fields.field import Field
from flambe_nlp.tokenizers import Tokenizer, WordTokenizer
from flambe_nlp.vectors import FloatArray, VectorSource, WordVectors
from flambe_nlp.vocabulary import IntArray, Vocabulary, listed
from flambe_torch.data import PackedColumn


class TextField(Field):
    """Texts as token numbers, with a vocabulary counted on the training part.

    Args:
        tokenizer: `WordTokenizer()` if not given.
        lower: Lower-case the text first.
        pad_token: Number 0; what shorter texts of a batch are filled with. In a text itself it is unknown.
        unk_token: Number 1; stands for tokens that the vocabulary does not hold.
        sos_token: Put before every text, if given.
        eos_token: Put behind every text, if given.
        min_freq: Leave out tokens seen less often in the training part.
        max_vocab_size: Keep the most frequent tokens only, this many with the special ones.
        max_len: Cut longer texts to this many tokens, those of `sos_token` and `eos_token` included.
        truncate: Which part a longer text loses: its `end` or its `start`.
        vocabulary: The tokens behind the special ones, in order: a list, or the path or URL of a file with
            one on each line. Counted on the training part if not given.
        additional_special_tokens: Tokens that the vocabulary holds in any case, behind the special ones.
        embeddings: Word vectors for the vocabulary: a path or URL, `!WordVectors` for its options, or what
            else gives vectors, such as `!lm.EncoderVectors`.
        drop_unknown: Leave out tokens that the vocabulary does not hold, instead of `unk_token` for each. It
            holds only tokens with a vector then, if there are `embeddings`.

    Attributes:
        vocab: The vocabulary.
        embeddings: Its vectors, (V, D) float32, or None.

    Example:
        >>> field = TextField(lower=True)
        >>> field.setup(["Who was Ada?", "Who sang?"])
        >>> field.vocab.tokens
        ('<pad>', '<unk>', '?', 'who', 'ada', 'sang', 'was')
        >>> field.process(["Who am I?"])[0].tolist()
        [3, 1, 1, 2]
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        lower: bool = False,
        *,
        pad_token: str = "<pad>",  # noqa: S107 (no password)
        unk_token: str = "<unk>",  # noqa: S107 (no password)
        sos_token: str | None = None,
        eos_token: str | None = None,
        min_freq: int = 1,
        max_vocab_size: int | None = None,
        max_len: int | None = None,
        truncate: Literal["end", "start"] = "end",
        vocabulary: Sequence[str] | str | None = None,
        additional_special_tokens: Sequence[str] = (),
        embeddings: str | VectorSource | None = None,
        drop_unknown: bool = False,
    ) -> None:
        if truncate not in ("end", "start"):
            raise ValueError(f"truncate must be 'end' or 'start', not {truncate!r}")
        if isinstance(additional_special_tokens, str):
            raise ValueError(f"additional_special_tokens is a list: write [{additional_special_tokens}]")
        self.tokenizer = tokenizer or WordTokenizer()
        self.lower = lower
        self.pad_token, self.unk_token = pad_token, unk_token
        self.sos_token, self.eos_token = sos_token, eos_token
        self.min_freq, self.max_vocab_size = min_freq, max_vocab_size
        self.max_len, self.truncate = max_len, truncate
        self.additional_special_tokens = tuple(additional_special_tokens)
        self.drop_unknown = drop_unknown
        self._given = vocabulary
        self.vectors: VectorSource | None = (
            WordVectors(embeddings) if isinstance(embeddings, str) else embeddings
        )
        self._vocab: Vocabulary | None = None
        self._embeddings: FloatArray | None = None
        if max_len is not None and max_len <= self._framed:
            raise ValueError(f"max_len={max_len} leaves no room for a token of the text")

    @property
    def is_ready(self) -> bool:
        return self._vocab is not None

    @property
    def vocab(self) -> Vocabulary:
        if self._vocab is None:
            raise ValueError("the text field has no vocabulary yet: call setup with the training texts")
        return self._vocab

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @property
    def pad_index(self) -> int:
        return self.vocab.index(self.pad_token)

    @property
    def embeddings(self) -> FloatArray | None:
        """The vectors of the vocabulary, (V, D) float32; None without pretrained vectors."""
        return self._embeddings

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, framed and cut as the field's arguments say."""
        tokens = self.tokenizer.tokenize(text.lower() if self.lower else text)
        if self.max_len is not None:
            room = self.max_len - self._framed
            tokens = tokens[:room] if self.truncate == "end" else tokens[-room:]
        start = [] if self.sos_token is None else [self.sos_token]
        end = [] if self.eos_token is None else [self.eos_token]
        return [*start, *tokens, *end] if start or end else tokens

    def setup(self, texts: Sequence[str]) -> None:
        self._learn(map(self.tokenize, texts))

    def _learn(self, token_lists: Iterable[Sequence[str]]) -> None:
        framing = [self.pad_token, self.unk_token, self.sos_token, self.eos_token]
        special = [token for token in framing if token is not None]
        special += [token for token in self.additional_special_tokens if token not in special]
        if self._given is not None:
            vocab = Vocabulary(special, unknown=self.unk_token).extended(listed(self._given))
        else:
            vocab = Vocabulary.counted(
                token_lists,
                special=special,
                unknown=self.unk_token,
                min_freq=self.min_freq,
                max_size=self.max_vocab_size,
            )
        if self.vectors is not None:
            vocab = vocab.extended(self.vectors.more_words(self.tokenize))
            if self.drop_unknown:
                kept = {*special, *self.vectors.known(vocab)}
                vocab = Vocabulary(filter(kept.__contains__, vocab), unknown=self.unk_token)
            self._embeddings = self.vectors.matrix(vocab, zero=self.pad_token)
        self._vocab = vocab

    def process(self, texts: Sequence[str]) -> PackedColumn:
        numbers, offsets = self.vocab.encode([self._kept(self.tokenize(text)) for text in texts])
        return PackedColumn(self._without_padding(numbers), offsets, pad_index=self.pad_index)

    def _without_padding(self, numbers: IntArray) -> IntArray:
        """Where a text writes out the token that pads, that is an unknown word; changes `numbers` itself."""
        numbers[numbers == self.pad_index] = self.vocab.index(self.unk_token)
        return numbers

    def _kept(self, tokens: Sequence[str]) -> Sequence[str]:
        return [token for token in tokens if token in self.vocab] if self.drop_unknown else tokens

    def custom_state(self) -> Mapping[str, Any] | None:
        if self._vocab is None:
            return None
        state: dict[str, Any] = {"vocabulary": list(self._vocab.tokens)}
        if self._embeddings is not None:
            state["embeddings"] = self._embeddings
        return state

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self._vocab = Vocabulary(state["vocabulary"], unknown=self.unk_token)
        embeddings = state.get("embeddings")
        self._embeddings = None if embeddings is None else np.asarray(embeddings, dtype=np.float32)

    @property
    def _framed(self) -> int:
        return (self.sos_token is not None) + (self.eos_token is not None)
