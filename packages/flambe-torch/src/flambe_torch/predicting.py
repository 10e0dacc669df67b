"""What a model says of a batch, in the form that losses and metrics take."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.data import Batch


def predicted(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and target of a batch.

    The last column is the target, the others are what the model takes. A model that has
    `for_loss(predictions, target)` arranges both for the loss and the metrics: a language model makes one row
    of each token, and leaves padding out.
    """
    *inputs, target = batch
    predictions = model(*inputs)
    for_loss = getattr(model, "for_loss", None)
    if for_loss is None:
        return predictions, target
    arranged: tuple[torch.Tensor, torch.Tensor] = for_loss(predictions, target)
    return arranged
