"""`CharsEncoder`: vectors of words that are made of their characters."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn.embedding import mask_of, pad_index_of
from flambe_torch.nn.module import Module


class CharsEncoder(Module):
    """The characters of words (B, T, C) to a vector for each word (B, T, H); an embedding of its own.

    C is the longest word. Words without a character, which pad shorter texts, are 0.

    Args:
        embedding: Characters (N, C) to vectors (N, C, E).
        encoder: Vectors and a mask (N, C), true where a character is, to one vector a word (N, H): one with a
            pooling.
        pad_index: The number that stands for no character; the `padding_idx` of the embedding unless given,
            and 0 if it has none.

    Source: Kim, Jernite, Sontag and Rush, "Character-Aware Neural Language Models", AAAI 2016, section 2.2
    (there with a convolution and max pooling).

    Example:
        >>> from flambe_torch.nn import CNNEncoder, EmbeddingEncoder
        >>> encoder = CharsEncoder(EmbeddingEncoder(9, 3), CNNEncoder(3, [5], pooling="max"))
        >>> encoder(torch.tensor([[[4, 2, 7], [8, 0, 0]], [[5, 1, 0], [0, 0, 0]]])).shape
        torch.Size([2, 2, 5])
    """

    def __init__(self, embedding: nn.Module, encoder: nn.Module, *, pad_index: int | None = None) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder
        self.padding_idx = pad_index_of(embedding) if pad_index is None else pad_index

    @property
    def output_size(self) -> int:
        """H."""
        size: int = self.encoder.output_size  # type: ignore[assignment]  # of any module
        return size

    def forward(self, chars: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, H) for the characters of words (B, T, C)."""
        if chars.ndim != 3:
            raise ValueError(f"the characters of words are (B, T, C), but these are {tuple(chars.shape)}")
        places = mask_of(chars, self.padding_idx)  # (B, T)
        words = chars[places]  # (N, C)
        encoded = self.encoder(self.embedding(words), words != self.padding_idx)  # (N, H)
        if encoded.ndim != 2:
            raise ValueError(
                "the encoder must give one vector a word, (N, H), but it gave "
                f"{tuple(encoded.shape)}: give it a pooling"
            )
        vectors: torch.Tensor = encoded.new_zeros(*places.shape, encoded.shape[1])  # (B, T, H)
        vectors[places] = encoded
        return vectors
