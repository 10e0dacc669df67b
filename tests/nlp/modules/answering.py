"""A model from sequence to sequence, as a user would write it."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch import Model


class Answerer(Model):
    """Reads tokens (B, S) and says for each place of an answer (B, T) so far which token is next."""

    def __init__(
        self, size: int, embedding: nn.Module, decoder: nn.Module, encoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.embedding, self.encoder, self.decoder = embedding, encoder, decoder
        self.scores = nn.Linear(decoder.output_size, size)  # type: ignore[arg-type]

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        question, answer = inputs
        masks = question != 0, answer != 0
        read, begun = self.embedding(question), self.embedding(answer)
        if self.encoder is None:
            hidden = self.decoder(read, begun, *masks)
        else:
            hidden = self.decoder(begun, self.encoder(read, masks[0]), masks[1], masks[0])
        return self.scores(hidden).log_softmax(-1)

    def for_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return predictions.flatten(0, 1), target.flatten()
