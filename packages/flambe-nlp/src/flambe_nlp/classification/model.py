"""`TextClassifier`: embedding, encoder, decoder."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn import Model


class TextClassifier(Model):
    """Token numbers (B, T) to log-probabilities of classes (B, C).

    Args:
        embedding: Tokens (B, T) to vectors (B, T, E).
        encoder: Vectors and a mask (B, T), true where a token is, to one vector a text (B, H).
        decoder: Vectors (B, H) to log-probabilities (B, C).
        dropout: Share of the encoder's output that is zeroed in training.
        pad_index: The number that stands for no token.

    Example:
        >>> from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder
        >>> encoder = RNNEncoder(input_size=5, hidden_size=7, pooling="last")
        >>> model = TextClassifier(EmbeddingEncoder(11, 5), encoder, SoftmaxDecoder(7, 3))
        >>> model(torch.tensor([[4, 2, 9, 1], [8, 0, 0, 0]])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        embedding: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        dropout: float = 0.0,
        pad_index: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.pad_index = pad_index

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, C) for tokens (B, T), the one input."""
        (tokens,) = inputs
        mask = tokens != self.pad_index  # (B, T)
        encoded = self.encoder(self.embedding(tokens), mask)  # (B, H)
        if encoded.ndim != 2:
            raise ValueError(
                f"the encoder must give one vector a text, (B, H), but it gave {tuple(encoded.shape)}; "
                "does it lack a pooling?"
            )
        scores: torch.Tensor = self.decoder(self.dropout(encoded))  # (B, C)
        return scores
