"""`EmbeddingEncoder`: token ids to vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flambe_torch.nn.module import Module
from flambe_torch.nn.positions import Positions, positions_of


class EmbeddingEncoder(Module):
    """Looks up a vector for each token: (B, T) → (B, T, E).

    The vector of `pad_index` starts at 0 and is not trained; its places stay 0 with positions too.

    Args:
        input_size: Number of tokens in the vocabulary.
        embedding_size: E; may be left out where `embedding_matrix` is given.
        embedding_matrix: Vectors to begin with (input_size, E), such as GloVe's; copied.
        pad_index: The number of the token that pads; None if there is none.
        freeze: Do not train the vectors.
        positions: `sinusoidal` or `learned` positions are added to the vectors; none unless given.
        max_length: The longest sequence that `learned` positions serve.
        dropout: Share of the output's entries that are zeroed in training.

    Example:
        >>> EmbeddingEncoder(input_size=7, embedding_size=3)(torch.tensor([[1, 2, 0]])).shape
        torch.Size([1, 3, 3])
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int | None = None,
        embedding_matrix: Any = None,
        *,
        pad_index: int | None = 0,
        freeze: bool = False,
        positions: Positions | None = None,
        max_length: int = 5000,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        matrix = _matrix(embedding_matrix, input_size, embedding_size)
        size = embedding_size if matrix is None else matrix.shape[1]
        if size is None:
            raise ValueError("EmbeddingEncoder needs embedding_size or embedding_matrix")
        self.embedding = nn.Embedding(input_size, size, padding_idx=pad_index)
        if matrix is not None:
            with torch.no_grad():
                self.embedding.weight.copy_(matrix)
                if pad_index is not None:
                    self.embedding.weight[pad_index].zero_()
        self.embedding.weight.requires_grad_(not freeze)
        self.positions = positions_of(positions, size, max_length)
        self.dropout = nn.Dropout(dropout)

    @property
    def embedding_size(self) -> int:
        """E."""
        return self.embedding.embedding_dim

    @property
    def output_size(self) -> int:
        """E: what an encoder after this takes as `input_size`."""
        return self.embedding.embedding_dim

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, E) for tokens (B, T)."""
        embedded = self.embedding(tokens)  # (B, T, E)
        if not isinstance(self.positions, nn.Identity):
            embedded = self.positions(embedded)
            if self.embedding.padding_idx is not None:
                embedded = embedded * (tokens != self.embedding.padding_idx)[:, :, None]
        dropped: torch.Tensor = self.dropout(embedded)
        return dropped


def mask_of(tokens: torch.Tensor, pad_index: int) -> torch.Tensor:
    """(B, T), true where a token is, for tokens (B, T), or for words as their characters (B, T, C)."""
    mask = tokens != pad_index
    return mask if mask.ndim < 3 else mask.any(-1)


def pad_index_of(embedding: nn.Module) -> int:
    """The number that pads, as an embedding or the `torch.nn.Embedding` inside it knows it; else 0."""
    for holder in (embedding, getattr(embedding, "embedding", None)):
        found = getattr(holder, "padding_idx", None)
        if isinstance(found, int):
            return found
    return 0


def _matrix(matrix: Any, input_size: int, embedding_size: int | None) -> torch.Tensor | None:
    if matrix is None:
        return None
    tensor = torch.as_tensor(matrix)
    wrong_size = embedding_size is not None and tensor.shape[-1] != embedding_size
    if tensor.ndim != 2 or len(tensor) != input_size or wrong_size:
        expected = f"({input_size}, {embedding_size or 'any'})"
        raise ValueError(f"embedding_matrix must be {expected}, but it is {tuple(tensor.shape)}")
    return tensor
