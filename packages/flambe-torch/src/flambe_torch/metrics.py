"""Metrics: what a `Trainer` and an `Evaluator` measure, over torchmetrics.

A `Metric` is made without knowing the task: the first batch of a pass shows how many classes there are.
Predictions are scores, probabilities or log-probabilities; targets are classes:

- (N, C) and (N,): one of C classes; also (B, T, C) and (B, T), a class for each token;
- (N,) and (N,): two classes, the score is that of class 1;
- (N, L) and (N, L): each of L labels holds or not.

Any metric of torchmetrics, and any function of predictions and target, serves too (`metric_of`).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
import torchmetrics
from torch.nn import functional
from torchmetrics import classification

from flambe.component import Component

Average = Literal["micro", "macro", "weighted"]


class Metric(Component, ABC):
    """Measured over a pass: `reset`, `update` for each batch, `compute`."""

    lower_is_better: bool = False

    @property
    def name(self) -> str:
        """The metric's name in plots and tables: its class's, in snake case."""
        return _snake(type(self).__name__)

    @abstractmethod
    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        """Take a batch into account."""

    @abstractmethod
    def compute(self) -> float:
        """The metric over all batches since `reset`; over all processes, where there are many."""

    @abstractmethod
    def reset(self) -> None:
        """Begin a new pass."""


class TorchMetric(Metric):
    """A metric that a `torchmetrics.Metric` computes.

    Args:
        metric: It is asked for `higher_is_better`, where `lower_is_better` is not given.
    """

    def __init__(
        self,
        metric: torchmetrics.Metric,
        *,
        name: str | None = None,
        lower_is_better: bool | None = None,
    ) -> None:
        self.metric: torchmetrics.Metric | None = metric
        self._name = name or _snake(type(metric).__name__)
        higher = metric.higher_is_better
        self.lower_is_better = higher is False if lower_is_better is None else lower_is_better

    @property
    def name(self) -> str:
        return self._name

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        assert self.metric is not None
        if self.metric.device != predictions.device:
            self.metric.to(predictions.device)
        self.metric.update(predictions, target)

    def compute(self) -> float:
        assert self.metric is not None
        return float(self.metric.compute())

    def reset(self) -> None:
        if self.metric is not None:
            self.metric.reset()


class _Classification(TorchMetric):
    """A classification metric whose task and number of classes the first batch of a pass shows."""

    def __init__(self, options: Mapping[str, Any], num_classes: int | None) -> None:
        self.metric = None
        self.num_classes = num_classes
        self._options = dict(options)

    @property
    def name(self) -> str:
        return _snake(type(self).__name__)

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        predictions, target, task, size = _task(predictions, target, self.num_classes)
        if self.metric is None:
            self.metric = self._make(task, size)
        super().update(predictions, target)

    def compute(self) -> float:
        if self.metric is None:
            raise ValueError(f"{self.name} has seen no batch")
        return super().compute()

    def reset(self) -> None:
        self.metric = None

    @abstractmethod
    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        """The metric for `task` (binary, multiclass, multilabel) with `size` classes or labels."""

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

    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        kinds = {
            "binary": classification.BinaryAccuracy,
            "multiclass": classification.MulticlassAccuracy,
            "multilabel": classification.MultilabelAccuracy,
        }
        return _made(kinds[task], self._sized(task, size))


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

    The arguments are those of `Accuracy`. With two classes, it is that of class 1.
    """

    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        kinds = {
            "binary": classification.BinaryPrecision,
            "multiclass": classification.MulticlassPrecision,
            "multilabel": classification.MultilabelPrecision,
        }
        return _made(kinds[task], self._sized(task, size))


class Recall(_PerClass):
    """The share of right ones among the rows of a class; averaged over the classes.

    The arguments are those of `Accuracy`. With two classes, it is that of class 1.
    """

    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        kinds = {
            "binary": classification.BinaryRecall,
            "multiclass": classification.MulticlassRecall,
            "multilabel": classification.MultilabelRecall,
        }
        return _made(kinds[task], self._sized(task, size))


class F1(_PerClass):
    """The harmonic mean of precision and recall; averaged over the classes.

    The arguments are those of `Accuracy`. With two classes, it is that of class 1.
    """

    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        kinds = {
            "binary": classification.BinaryF1Score,
            "multiclass": classification.MulticlassF1Score,
            "multilabel": classification.MultilabelF1Score,
        }
        return _made(kinds[task], self._sized(task, size))


class AUC(_Classification):
    """The area under the ROC curve; averaged over the classes, each against the rest.

    Args:
        average: `macro` counts all classes alike, `weighted` by their number of rows; `micro` takes each pair
            of a row and a class for a row of its own, which is right or not.
        max_fpr: Only up to this rate of false positives, standardised; with two classes, or `micro`.
        ignore_index: A target that is not counted, such as padding.
    """

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

    def _make(self, task: str, size: int) -> torchmetrics.Metric:
        kinds = {
            "binary": classification.BinaryAUROC,
            "multiclass": classification.MulticlassAUROC,
            "multilabel": classification.MultilabelAUROC,
        }
        options = self._sized(task, size)
        if task != "binary" and options.pop("max_fpr") is not None:
            raise ValueError(f"AUC with max_fpr needs two classes, but there are {size}")
        return _made(kinds[task], options)


class MultiClassAUC(AUC):
    """`AUC` with `average: micro`: of all pairs of a row and a class."""

    def __init__(self, *, max_fpr: float | None = None, ignore_index: int | None = None) -> None:
        super().__init__("micro", max_fpr=max_fpr, ignore_index=ignore_index)


class MeanOf(TorchMetric):
    """The mean of a function of predictions and target, each batch weighted by its rows."""

    def __init__(
        self, function: Callable[[Any, Any], Any], *, name: str, lower_is_better: bool = False
    ) -> None:
        super().__init__(torchmetrics.MeanMetric(), name=name, lower_is_better=lower_is_better)
        self.function = function

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        assert self.metric is not None
        value = torch.as_tensor(self.function(predictions, target))
        if self.metric.device != value.device:
            self.metric.to(value.device)
        self.metric.update(value.detach(), len(target))


class _Surprise(TorchMetric):
    """The mean negative log-likelihood of the targets, in nats."""

    def __init__(self, ignore_index: int | None = None) -> None:
        super().__init__(torchmetrics.MeanMetric(), lower_is_better=True)
        self.ignore_index = -100 if ignore_index is None else ignore_index

    @property
    def name(self) -> str:
        return _snake(type(self).__name__)

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        scores, classes = predictions.flatten(0, -2), target.flatten()  # (N, C), (N,)
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


def metric_of(metric: Any) -> Metric:
    """`metric` as a `Metric`: ours, one of torchmetrics, a loss module, or a function.

    A function or loss of (predictions, target) is averaged over the rows. A loss (what has a true
    `lower_is_better`, or a name that ends in `Loss`) is better when lower.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, torchmetrics.Metric):
        return TorchMetric(metric)
    if not callable(metric):
        raise TypeError(f"a metric is needed, but {metric!r} is a {type(metric).__name__}")
    name = _snake(getattr(metric, "__name__", type(metric).__name__))
    lower_is_better = getattr(metric, "lower_is_better", name.endswith("loss"))
    return MeanOf(metric, name=name, lower_is_better=lower_is_better)


def metrics_of(metrics: Iterable[Any] | Mapping[str, Any]) -> dict[str, Metric]:
    """Metrics by name: the mapping's keys, or their own names.

    Raises:
        ValueError: two have one name.
    """
    if isinstance(metrics, Mapping):
        return {name: metric_of(metric) for name, metric in metrics.items()}
    named: dict[str, Metric] = {}
    for metric in map(metric_of, metrics):
        if metric.name in named:
            raise ValueError(f"two metrics are called {metric.name!r}; give them as a mapping of names")
        named[metric.name] = metric
    return named


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


def _made(kind: Callable[..., Any], options: Mapping[str, Any]) -> torchmetrics.Metric:
    metric: torchmetrics.Metric = kind(**options)
    return metric


def _snake(name: str) -> str:
    """`MeanSquaredError` as `mean_squared_error`, `AUC` as `auc`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
