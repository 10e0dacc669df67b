"""Metrics of two classes, one of which is looked for."""

from __future__ import annotations

from typing import ClassVar

import torch

from flambe_torch.metrics.metric import TorchMetric, snake, torchmetric


class BinaryMetric(TorchMetric):
    """What the metrics below share.

    Predictions are (N,), scores of class 1 as `threshold` understands them: probabilities unless it is said
    otherwise; or (N, 2), scores or log-probabilities of both classes, made probabilities. Targets are (N,), 0
    or 1.

    Args:
        threshold: A row is taken for class 1 if its score is above.
        positive_label: The class that is looked for, 0 or 1.
    """

    kind: ClassVar[str]

    def __init__(self, threshold: float = 0.5, positive_label: int = 1) -> None:
        if positive_label not in (0, 1):
            raise ValueError(f"positive_label must be 0 or 1, but it is {positive_label}")
        super().__init__(torchmetric(self.kind, validate_args=False), name=snake(type(self).__name__))
        self.threshold = threshold
        self.positive_label = positive_label

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        if predictions.ndim == 2 and predictions.shape[1] == 2:
            predictions = predictions.softmax(dim=1)[:, 1]
        if predictions.shape != target.shape:
            raise ValueError(
                f"predictions {tuple(predictions.shape)} and target {tuple(target.shape)} do not fit: "
                "expected (N,) or (N, 2), and (N,)"
            )
        found = (predictions > self.threshold) == bool(self.positive_label)
        super().update(found.long(), (target == self.positive_label).long())


class BinaryAccuracy(BinaryMetric):
    """The share of right predictions; the arguments are those of `BinaryMetric`.

    Example:
        >>> accuracy = BinaryAccuracy(threshold=0.7)
        >>> accuracy.update(torch.tensor([0.9, 0.6, 0.8]), torch.tensor([1, 1, 1]))
        >>> round(accuracy.compute(), 4)
        0.6667
    """

    kind = "BinaryAccuracy"


class BinaryPrecision(BinaryMetric):
    """The share of right ones among the rows found; the arguments are those of `BinaryMetric`."""

    kind = "BinaryPrecision"


class BinaryRecall(BinaryMetric):
    """The share of the rows looked for that are found; the arguments are those of `BinaryMetric`."""

    kind = "BinaryRecall"


class BinaryF1(BinaryMetric):
    """The harmonic mean of precision and recall; the arguments are those of `BinaryMetric`."""

    kind = "BinaryF1Score"
