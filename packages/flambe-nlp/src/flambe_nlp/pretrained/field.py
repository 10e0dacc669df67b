"""`PretrainedTransformerField`: texts to the word pieces of a pretrained transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from flambe_nlp.fields.field import Field
from flambe_nlp.pretrained.architecture import positions_for
from flambe_nlp.pretrained.source import Source
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.data import PackedColumn
from flambe_torch.errors import DataError

_NO_LIMIT = 1_000_000
"""From here on a tokenizer's longest text is a stand-in for none."""


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A tokenizer as it is saved.

    Attributes:
        text: The content of its `tokenizer.json`.
        pad_index: The number of the token that pads.
        longest: How many tokens the model takes, as the tokenizer says, or how many it has positions for, if
            that is less; None if there is no limit.
        positions: How many tokens the model has positions for; None if there is no limit.
    """

    text: str
    pad_index: int
    longest: int | None
    positions: int | None


class PretrainedTransformerField(Field):
    """Texts as numbers of the word pieces that a pretrained transformer knows.

    There is nothing to learn: the vocabulary is the model's. It is read when it is first needed; a loaded
    field has it in its save and takes raw text where the model is not at hand.

    Args:
        alias: A model's folder, `package:NAME/FOLDER`, or its name on the hub.
        max_len: Cut longer texts to this many tokens, special ones included; what the tokenizer says that its
            model takes unless given, and not more than the model has positions for. There must be room for
            more than the special ones.
        add_special_tokens: Put the model's special tokens around each text, such as BERT's CLS and SEP.

    Attributes:
        vocab_size: One more than the largest number of a token, special ones included.
        pad_index: The number of the token that pads; `padding_idx` is the same.

    Example:
        >>> field = PretrainedTransformerField("bert-base-uncased", max_len=64)
        >>> field.is_ready  # nothing is read yet
        True
    """

    def __init__(self, alias: str, *, max_len: int | None = None, add_special_tokens: bool = True) -> None:
        if max_len is not None and max_len < 1:
            raise ValueError(f"max_len must be at least 1, not {max_len}")
        self.alias = alias
        self.max_len = max_len
        self.add_special_tokens = add_special_tokens
        self._pieces: _Pieces | None = None
        self._made: Any = None

    @classmethod
    def from_alias(
        cls, alias: str, *, max_len: int | None = None, add_special_tokens: bool = True
    ) -> PretrainedTransformerField:
        """The field of the model that `alias` names; the same as the class itself."""
        return cls(alias, max_len=max_len, add_special_tokens=add_special_tokens)

    @property
    def is_ready(self) -> bool:
        return True

    @property
    def vocab(self) -> Vocabulary:
        """All tokens in the order of their numbers; a number that no token has gets a name of its own."""
        by_number = {number: token for token, number in self._tokenizer.get_vocab().items()}
        return Vocabulary(by_number.get(n, f"<no token {n}>") for n in range(max(by_number) + 1))

    @property
    def vocab_size(self) -> int:
        return int(max(self._tokenizer.get_vocab().values())) + 1

    @property
    def pad_index(self) -> int:
        return self._content.pad_index

    @property
    def padding_idx(self) -> int:
        return self._content.pad_index

    @property
    def vectors(self) -> None:
        """None: the vectors of word pieces are in the model."""

    @vectors.setter
    def vectors(self, given: object) -> None:
        raise ValueError(
            "the tokens of a pretrained model have their vectors in the model; give no embeddings"
        )

    @property
    def embeddings(self) -> None:
        """None: the vectors of word pieces are in the model."""

    def tokenize(self, text: str) -> list[str]:
        """The word pieces of a text, special ones included."""
        pieces: list[str] = self._tokenizer.encode(text, add_special_tokens=self.add_special_tokens).tokens
        return pieces

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """What the `tokenizers` library says of each text: `ids`, `tokens`, `special_tokens_mask`, …"""
        tokenizer = self._tokenizer
        encoded: Sequence[Any] = tokenizer.encode_batch(
            list(texts), add_special_tokens=self.add_special_tokens
        )
        return encoded

    def setup(self, texts: Sequence[str]) -> None:
        """Nothing is learned from texts."""

    def process(self, texts: Sequence[str]) -> PackedColumn:
        encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        rows = [row.ids for row in encode(list(texts), add_special_tokens=self.add_special_tokens)]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        numbers = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1]))
        return PackedColumn(numbers, offsets, pad_index=self.pad_index)

    def custom_state(self) -> Mapping[str, Any]:
        content = self._content
        return {
            "tokenizer": content.text,
            "pad_index": content.pad_index,
            "longest": content.longest,
            "positions": content.positions,
        }

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        positions = state.get("positions")  # older saves have none
        self._pieces = _Pieces(state["tokenizer"], state["pad_index"], state["longest"], positions)
        self._made = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the tokenizer at work: it is made again from its content."""
        return {**self.__dict__, "_made": None}

    @property
    def _content(self) -> _Pieces:
        if self._pieces is None:
            self._pieces = _read(self.alias)
        return self._pieces

    @property
    def _tokenizer(self) -> Any:
        if self._made is None:
            from tokenizers import Tokenizer

            made = Tokenizer.from_str(self._content.text)
            made.no_padding()
            if self.max_len is not None:
                special = made.num_special_tokens_to_add(is_pair=False) if self.add_special_tokens else 0
                self._check_max_len(self.max_len, special)
            limit = self.max_len or self._content.longest
            if limit is None:
                made.no_truncation()
            else:
                made.enable_truncation(limit)
            self._made = made
        return self._made

    def _check_max_len(self, max_len: int, special: int) -> None:
        positions = self._content.positions
        if max_len <= special:
            room = f"leaves no room for a token of the text beside {special} special ones"
            raise ValueError(f"max_len={max_len} {room}")
        if positions is not None and max_len > positions:
            raise ValueError(f"max_len={max_len} is more than the {positions} tokens that the model takes")


BERTTextField = PretrainedTransformerField


def _read(alias: str) -> _Pieces:
    source = Source(alias)
    tokenizer = source.tokenizer()
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(f"{alias} has no fast tokenizer, which PretrainedTransformerField needs")
    if tokenizer.pad_token_id is None:
        raise DataError(f"the tokenizer of {alias} has no token that pads")
    positions = _positions(source)
    longest = min(int(tokenizer.model_max_length), _NO_LIMIT if positions is None else positions)
    return _Pieces(
        tokenizer.backend_tokenizer.to_str(),
        int(tokenizer.pad_token_id),
        longest if longest < _NO_LIMIT else None,
        positions,
    )


def _positions(source: Source) -> int | None:
    try:
        config = source.config()
    except DataError:  # a tokenizer may serve a model that is made elsewhere
        return None
    return positions_for(config)
