"""Metrics of classes and labels; the first batch of a pass shows how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch.nn import functional

from flambe_torch.metrics.metric import TorchMetric, snake, torchmetric

Average = Literal["micro", "macro", "weighted"]


def _kinds(binary: str, multiclass: str, multilabel: str) -> Mapping[str, str]:
    """What computes a metric, by task: classes of torchmetrics."""
    return MappingProxyType({"binary": binary, "multiclass": multiclass, "multilabel": multilabel})


class _Classification(TorchMetric):
    """A classification metric whose task and number of classes the first batch of a pass shows."""

    kinds: ClassVar[Mapping[str, str]]

    def __init__(self, options: Mapping[str, Any], num_classes: int | None) -> None:
        self.metric = None
        self.num_classes = num_classes
        self._options = dict(options)

    @property
    def name(self) -> str:
        return snake(type(self).__name__)

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        predictions, target, task, size = _task(predictions, target, self.num_classes)
        if self.metric is None:
            self.metric = torchmetric(self.kinds[task], **self._sized(task, size))
        super().update(predictions, target)

    def compute(self) -> float:
        if self.metric is None:
            raise ValueError(f"{self.name} has seen no batch")
        return super().compute()

    def reset(self) -> None:
        self.metric = None

    def _sized(self, task: str, size: int) -> dict[str, Any]:
        """The options that fit `task`; targets are checked by the loss, once and not twice."""
        options = dict(self._options, validate_args=False)
        if task == "binary":
            options.pop("average")
        options.pop("threshold" if task == "multiclass" else "top_k", None)
        key = {"multiclass": "num_classes", "multilabel": "num_labels"}.get(task)
        return {**options, key: size} if key else options


class Accuracy(_Classification):
    """The share of right predictions.

    Args:
        top_k: A prediction is right if the target is among the `top_k` classes with the highest scores.
        average: `micro` counts all rows alike; `macro` averages over the classes.
        threshold: With two classes or many labels, the score from which on a label holds.
        ignore_index: A target that is not counted, such as padding.
        num_classes: Needed only where predictions are classes instead of scores.

    Example:
        >>> accuracy = Accuracy()
        >>> accuracy.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        >>> accuracy.compute()
        0.5
    """

    kinds = _kinds("BinaryAccuracy", "MulticlassAccuracy", "MultilabelAccuracy")

    def __init__(
        self,
        top_k: int = 1,
        average: Average = "micro",
        *,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        options = {"top_k": top_k, "average": average, "threshold": threshold, "ignore_index": ignore_index}
        super().__init__(options, num_classes)


class _PerClass(_Classification):
    """Precision, recall and F1 take the same options."""

    def __init__(
        self,
        average: Average = "macro",
        *,
        top_k: int = 1,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        options = {"top_k": top_k, "average": average, "threshold": threshold, "ignore_index": ignore_index}
        super().__init__(options, num_classes)


class Precision(_PerClass):
    """The share of right ones among the rows predicted to be of a class; averaged over the classes.

    The arguments are those of `Accuracy`. Of scores (N,), it is that of class 1.
    """

    kinds = _kinds("BinaryPrecision", "MulticlassPrecision", "MultilabelPrecision")


class Recall(_PerClass):
    """The share of right ones among the rows of a class; averaged over the classes.

    The arguments are those of `Accuracy`. Of scores (N,), it is that of class 1.
    """

    kinds = _kinds("BinaryRecall", "MulticlassRecall", "MultilabelRecall")


class F1(_PerClass):
    """The harmonic mean of precision and recall; averaged over the classes.

    The arguments are those of `Accuracy`. Of scores (N,), it is that of class 1.
    """

    kinds = _kinds("BinaryF1Score", "MulticlassF1Score", "MultilabelF1Score")


class AUC(_Classification):
    """The area under the ROC curve; averaged over the classes, each against the rest.

    Args:
        average: `macro` counts all classes alike, `weighted` by their number of rows; `micro` takes each pair
            of a row and a class for a row of its own, which is right or not.
        max_fpr: Only up to this rate of false positives, standardised; for scores (N,), or `micro`.
        ignore_index: A target that is not counted, such as padding.
    """

    kinds = _kinds("BinaryAUROC", "MulticlassAUROC", "MultilabelAUROC")

    def __init__(
        self,
        average: Literal["macro", "weighted", "micro"] = "macro",
        *,
        max_fpr: float | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__({"average": average, "max_fpr": max_fpr, "ignore_index": ignore_index}, None)

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        if self._options["average"] == "micro" and predictions.ndim > 1:
            if target.ndim < predictions.ndim:
                predictions, target = predictions.flatten(0, -2), target.flatten()  # (N, C), (N,)
                ignored = self._options["ignore_index"]
                counted = torch.ones_like(target, dtype=torch.bool) if ignored is None else target != ignored
                predictions = predictions[counted].softmax(dim=-1)
                target = functional.one_hot(target[counted], predictions.shape[-1])
            predictions, target = predictions.flatten(), target.flatten()
        super().update(predictions, target)

    def _sized(self, task: str, size: int) -> dict[str, Any]:
        options = super()._sized(task, size)
        if task != "binary" and options.pop("max_fpr") is not None:
            raise ValueError(
                f"AUC with max_fpr needs scores (N,) of two classes or average: micro, not {size} columns"
            )
        return options


class MultiClassAUC(AUC):
    """`AUC` with `average: micro`: of all pairs of a row and a class."""

    def __init__(self, *, max_fpr: float | None = None, ignore_index: int | None = None) -> None:
        super().__init__("micro", max_fpr=max_fpr, ignore_index=ignore_index)


def _task(
    predictions: torch.Tensor, target: torch.Tensor, num_classes: int | None
) -> tuple[torch.Tensor, torch.Tensor, str, int]:
    """Both with the rows flat, the kind of task, and how many classes or labels it has."""
    scores = predictions.is_floating_point()
    if scores and predictions.ndim == target.ndim + 1 and predictions.shape[:-1] == target.shape:
        size = predictions.shape[-1]
        return predictions.flatten(0, -2), target.flatten(), "multiclass", size
    if predictions.shape != target.shape:
        raise ValueError(
            f"predictions {tuple(predictions.shape)} and target {tuple(target.shape)} do not fit: "
            "expected (N, C) and (N,), or two of the same shape"
        )
    if not scores:
        if num_classes is None:
            raise ValueError("predictions are classes, not scores: give the metric num_classes")
        return predictions.flatten(), target.flatten(), "multiclass", num_classes
    if predictions.ndim == 1:
        return predictions, target.long(), "binary", 2
    return predictions.flatten(0, -2), target.flatten(0, -2).long(), "multilabel", predictions.shape[-1]
