"""Metrics of language models: how surprising the targets are."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from flambe_torch.data import at_least_float32
from flambe_torch.metrics.metric import TorchMetric, snake, torchmetric


class _Surprise(TorchMetric):
    """The mean negative log-likelihood of the targets, in nats."""

    def __init__(self, ignore_index: int | None = None) -> None:
        super().__init__(torchmetric("MeanMetric"), name=snake(type(self).__name__), lower_is_better=True)
        self.ignore_index = -100 if ignore_index is None else ignore_index

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        scores, classes = at_least_float32(predictions.flatten(0, -2)), target.flatten()  # (N, C), (N,)
        counted = (classes != self.ignore_index).sum()
        total = functional.cross_entropy(scores, classes, reduction="sum", ignore_index=self.ignore_index)
        super().update(total / counted.clamp(min=1), counted)  # the metric takes (mean, weight)


class Perplexity(_Surprise):
    """exp of the mean negative log-likelihood of the targets; lower is better.

    Args:
        ignore_index: A target that is not counted, such as padding.

    Example:
        >>> perplexity = Perplexity()
        >>> perplexity.update(torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.long))
        >>> round(perplexity.compute(), 4)
        4.0
    """

    def compute(self) -> float:
        return math.exp(min(super().compute(), 700.0))  # exp(710) is beyond a float


class BPC(_Surprise):
    """Bits per character: the mean negative log-likelihood of the targets in bits; lower is better.

    Args:
        ignore_index: A target that is not counted, such as padding.
    """

    def compute(self) -> float:
        return super().compute() / math.log(2)
