"""`ImageClassifier`: encoder, decoder."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn import Model


class ImageClassifier(Model):
    """Images (B, channels, Y, X) to log-probabilities of classes (B, C).

    Args:
        encoder: Images to one vector each (B, H), or to maps (B, H, Y', X'), which the decoder gets as one
            vector of H · Y' · X' numbers.
        decoder: Vectors to log-probabilities (B, C).
        dropout: Share of the vectors' entries that is zeroed in training.

    Example:
        >>> from flambe_torch.nn import CNNEncoder, SoftmaxDecoder
        >>> encoder = CNNEncoder(3, [5, 7], conv_dim=2, stride=2)
        >>> model = ImageClassifier(encoder, SoftmaxDecoder(7 * 2 * 3, 4))
        >>> model(torch.zeros(2, 3, 8, 12)).shape
        torch.Size([2, 4])
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, C) for images (B, channels, Y, X), the one input."""
        (images,) = inputs
        vectors = self.encoder(images).flatten(1)
        scores: torch.Tensor = self.decoder(self.dropout(vectors))  # (B, C)
        return scores
