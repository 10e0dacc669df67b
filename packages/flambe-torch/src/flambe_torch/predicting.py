"""What a model says of a batch, in the form that losses and metrics take; and models that only predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from flambe_torch.data import Batch, to_device


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards each part of it is in the mode in which it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def fitting(model: nn.Module, inputs: Sequence[Any], device: torch.device) -> tuple[Any, ...]:
    """What the model takes, on `device`, floating numbers as wide as its own: it may be one of 64 bits."""
    dtypes = {p.dtype for p in model.parameters() if p.is_floating_point()}
    moved = tuple(to_device(column, device) for column in inputs)
    if len(dtypes) != 1:
        return moved
    (dtype,) = dtypes
    return tuple(
        column.to(dtype) if isinstance(column, torch.Tensor) and column.is_floating_point() else column
        for column in moved
    )


def predicted(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and target of a batch.

    The last column is the target, the others are what the model takes. A model that has
    `for_loss(predictions, target)` arranges both for the loss and the metrics: a language model makes one row
    of each token, and leaves padding out.
    """
    if len(batch) < 2:
        raise ValueError(
            "the last column of a batch is the target, but the rows have only one; a corpus is for a "
            "CorpusSampler"
        )
    *inputs, target = batch
    predictions = model(*inputs)
    for_loss = getattr(model, "for_loss", None)
    if for_loss is None:
        return predictions, target
    arranged: tuple[torch.Tensor, torch.Tensor] = for_loss(predictions, target)
    return arranged
