"""`Metric`: what is measured over a pass; what serves as one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from flambe.component import Component

if TYPE_CHECKING:
    import torchmetrics


class Metric(Component, ABC):
    """Measured over a pass: `reset`, `update` for each batch, `compute`."""

    lower_is_better: bool = False

    @property
    def name(self) -> str:
        """The metric's name in plots and tables: its class's, in snake case."""
        return snake(type(self).__name__)

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
        self._name = name or snake(type(metric).__name__)
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
        if not self.metric.update_called:
            raise ValueError(f"{self.name} has seen no batch")
        return float(self.metric.compute())

    def reset(self) -> None:
        if self.metric is not None:
            self.metric.reset()


class MeanOf(TorchMetric):
    """The mean of a function of predictions and target over the rows.

    The function gives the mean of a batch, which counts as often as the batch has rows; or many numbers, one
    for each row for example, which count once each.
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], *, name: str, lower_is_better: bool = False
    ) -> None:
        super().__init__(torchmetric("MeanMetric"), name=name, lower_is_better=lower_is_better)
        self.function = function

    def update(self, predictions: torch.Tensor, target: torch.Tensor) -> None:
        assert self.metric is not None
        value = torch.as_tensor(self.function(predictions, target))
        if self.metric.device != value.device:
            self.metric.to(value.device)
        self.metric.update(value.detach(), 1 if value.ndim else len(target))


def metric_of(metric: Any) -> Metric:
    """`metric` as a `Metric`: ours, one of torchmetrics, a loss module, or a function.

    A function or loss of (predictions, target) is averaged over the rows. A loss (what has a true
    `lower_is_better`, or a name that ends in `Loss`) is better when lower.
    """
    import torchmetrics

    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, torchmetrics.Metric):
        return TorchMetric(metric)
    if not callable(metric):
        raise TypeError(f"a metric is needed, but {metric!r} is a {type(metric).__name__}")
    name = snake(getattr(metric, "__name__", type(metric).__name__))
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


def metrics_beside(metric: Any, extra: Iterable[Any] | Mapping[str, Any]) -> dict[str, Metric]:
    """`metric`, first, and the `extra` ones, by name.

    Raises:
        ValueError: two have one name.
    """
    first, others = metric_of(metric), metrics_of(extra)
    if first.name in others:
        raise ValueError(f"two metrics are called {first.name!r}; name the extra_metrics by a mapping")
    return {first.name: first, **others}


def torchmetric(name: str, **options: Any) -> torchmetrics.Metric:
    """A metric of torchmetrics, which takes seconds to import and is not needed to check a config."""
    import torchmetrics
    from torchmetrics import classification

    cls = getattr(classification, name, None) or getattr(torchmetrics, name)
    made: torchmetrics.Metric = cls(**options)
    return made


def snake(name: str) -> str:
    """`MeanSquaredError` as `mean_squared_error`, `AUC` as `auc`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
