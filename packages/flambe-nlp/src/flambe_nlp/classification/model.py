"""`TextClassifier`: embedding, encoder, pooling, decoder."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn import Model, mask_of, pad_index_of, pooling_of

DEFAULT_POOLING = "last"


class TextClassifier(Model):
    """Token numbers (B, T) to log-probabilities of classes (B, C).

    Args:
        embedding: Tokens (B, T) to vectors (B, T, E); or the characters of words (B, T, chars), as a
            `CharsEncoder` does.
        encoder: Vectors and a mask (B, T), true where a token is, to one vector a text (B, H), or to one
            a token (B, T, H). None where the embedding is an encoder itself, such as a whole transformer.
        decoder: Vectors (B, H) to log-probabilities (B, C).
        pooling: How the vectors (B, T, H) of an encoder that does not pool become one: `last`, `first`,
            `mean`, `max`, `sum`, or a module (B, T, H), mask → (B, H). Unless given, what the encoder
            has as `default_pooling` (pretrained transformers: `mean`), else `last`.
        dropout: Share of the pooled vectors that is zeroed in training.
        pad_index: The number that stands for no token; the `padding_idx` of the embedding unless given,
            and 0 if it has none.

    Example:
        >>> from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder
        >>> encoder = RNNEncoder(input_size=5, hidden_size=7)
        >>> model = TextClassifier(EmbeddingEncoder(11, 5), encoder, SoftmaxDecoder(7, 3))
        >>> model(torch.tensor([[4, 2, 9, 1], [8, 0, 0, 0]])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        embedding: nn.Module,
        encoder: nn.Module | None,
        decoder: nn.Module,
        *,
        pooling: str | nn.Module | None = None,
        dropout: float = 0.0,
        pad_index: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder
        self.decoder = decoder
        last = embedding if encoder is None else encoder
        self._pools_itself = pooling is None
        self.pooling = pooling_of(pooling or getattr(last, "default_pooling", DEFAULT_POOLING))
        self.dropout = nn.Dropout(dropout)
        self.pad_index = pad_index_of(embedding) if pad_index is None else pad_index

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, C) for tokens (B, T), or words as their characters, the one input."""
        (tokens,) = inputs
        mask = mask_of(tokens, self.pad_index)  # (B, T)
        encoded = self.embedding(tokens)  # (B, T, E)
        if self.encoder is not None:
            encoded = self.encoder(encoded, mask)  # (B, H) or (B, T, H)
        scores: torch.Tensor = self.decoder(self.dropout(self._pooled(encoded, mask)))  # (B, C)
        return scores

    def _pooled(self, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if encoded.ndim == 2 and self._pools_itself:
            return encoded
        if encoded.ndim == 2:
            raise ValueError("the classifier is given a pooling, but its encoder pools itself; leave out one")
        if encoded.ndim != 3 or encoded.shape[:2] != mask.shape:
            batch, time = mask.shape
            raise ValueError(
                f"the encoder must give one vector a text, ({batch}, H), or one a token, "
                f"({batch}, {time}, H), but it gave {tuple(encoded.shape)}"
            )
        assert self.pooling is not None
        pooled: torch.Tensor = self.pooling(encoded, mask)  # (B, H)
        return pooled
