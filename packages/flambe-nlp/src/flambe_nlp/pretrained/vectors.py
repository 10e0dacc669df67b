"""`EncoderVectors`: word vectors that a pretrained transformer makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch

from flambe.component import Component
from flambe_nlp.pretrained.field import PretrainedTransformerField
from flambe_nlp.pretrained.modules import PretrainedTransformerEmbedder
from flambe_nlp.vectors import FloatArray
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.nn import MeanPooling


class HeldOut(Protocol):
    """What has texts beside those of training: rows that begin with a text."""

    @property
    def dev(self) -> Sequence[Sequence[str]]: ...
    @property
    def test(self) -> Sequence[Sequence[str]]: ...


class EncoderVectors(Component):
    """Word vectors without a file: each word of a vocabulary goes through a pretrained transformer alone.

    A word's vector is the mean over its pieces. With `size`, only so many principal components are kept,
    about the mean of all words. All numbers are scaled. What pads, and what stands for unknown words, gets
    zeros, which with `size` is the mean. The same model and vocabulary give the same vectors.

    Args:
        alias: A model's folder, `package:NAME/FOLDER`, or its name on the hub.
        size: D; the model's own size unless given.
        layer: `last`, what the model makes of a word, or `input`, what it looks up for its pieces.
        std: The standard deviation of all numbers; as the model gives them if None.
        extend: A data set: the words of its dev and test parts get vectors too, as they would find theirs
            in a file of word vectors.
        batch_size: How many words go through the model at once.

    Source: Bommasani, Davis and Cardie, Interpreting Pretrained Contextualized Representations via
    Reductions to Static Embeddings, ACL 2020, section 3 (decontextualized, mean over subwords).
    """

    def __init__(
        self,
        alias: str,
        *,
        size: int | None = None,
        layer: Literal["last", "input"] = "last",
        std: float | None = 0.4,
        extend: HeldOut | None = None,
        batch_size: int = 256,
    ) -> None:
        if layer not in ("last", "input"):
            raise ValueError(f"layer must be 'last' or 'input', not {layer!r}")
        self.alias = alias
        self.size = size
        self.layer = layer
        self.std = std
        self.extend = extend
        self.batch_size = batch_size

    def more_words(self, tokenize: Callable[[str], Sequence[str]]) -> Iterator[str]:
        """The words of the dev and test parts of `extend`."""
        if self.extend is not None:
            for row in (*self.extend.dev, *self.extend.test):
                yield from tokenize(row[0])

    def known(self, tokens: Iterable[str]) -> Collection[str]:
        """All of them: each is made of pieces that the model knows."""
        return list(tokens)

    def matrix(self, vocabulary: Vocabulary, *, zero: str | None = "<pad>") -> FloatArray:
        """One row for each token of `vocabulary`: (V, D), float32. `zero` and the unknown token get zeros.

        Raises:
            ValueError: The model gives fewer numbers a word than `size`.
        """
        places = [n for n, token in enumerate(vocabulary) if token not in (zero, vocabulary.unknown)]
        vectors = self._vectors([vocabulary[place] for place in places])  # (W, H)
        if self.size is not None:
            vectors = _principal(vectors, self.size)
        if self.std is not None and vectors.any():
            vectors *= self.std / vectors.std()
        matrix = np.zeros((len(vocabulary), vectors.shape[1]), dtype=np.float32)
        matrix[places] = vectors
        return matrix

    @torch.no_grad()
    def _vectors(self, words: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The vector of each word, (W, H)."""
        model = PretrainedTransformerEmbedder(self.alias, freeze=True)
        field = PretrainedTransformerField(self.alias, add_special_tokens=self.layer == "last")
        if self.size is not None and self.size > model.hidden_size:
            raise ValueError(
                f"size is {self.size}, but {self.alias} gives {model.hidden_size} numbers a word"
            )
        encoded = field.encode(words)
        order = sorted(range(len(words)), key=lambda word: len(encoded[word].ids))
        vectors = np.zeros((len(words), 0))
        for first in range(0, len(words), self.batch_size):
            batch = order[first : first + self.batch_size]
            made = self._batch(model, [encoded[word] for word in batch], field.pad_index).double().numpy()
            if not vectors.size:
                vectors = np.zeros((len(words), made.shape[1]))
            vectors[batch] = made
        return vectors

    def _batch(
        self, model: PretrainedTransformerEmbedder, encoded: Sequence[Any], pad_index: int
    ) -> torch.Tensor:
        """The vectors of a batch of words, (B, H)."""
        shape = (len(encoded), max(1, *(len(word.ids) for word in encoded)))
        tokens = torch.full(shape, pad_index)  # (B, T)
        mask, pieces = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for row, word in enumerate(encoded):
            length = len(word.ids)
            tokens[row, :length] = torch.tensor(word.ids, dtype=torch.int64)
            mask[row, :length] = True
            pieces[row, :length] = torch.tensor(word.special_tokens_mask) == 0
        if self.layer == "input":
            looked_up: Any = model.model
            vectors = looked_up.get_input_embeddings()(tokens)  # (B, T, H)
        else:
            vectors = model(tokens, mask)  # (B, T, H)
        pooled: torch.Tensor = MeanPooling()(vectors, pieces)  # (B, H)
        return pooled


def _principal(
    vectors: np.ndarray[Any, np.dtype[np.float64]], size: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The `size` principal components of the rows (W, H), largest first: (W, size).

    An axis and its opposite are equally principal: the one whose largest entry is positive is taken.
    """
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # (H, H), smallest first
    kept = axes[:, ::-1][:, :size]
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])]
    components: np.ndarray[Any, np.dtype[np.float64]] = centred @ (kept * np.sign(largest))
    return components
