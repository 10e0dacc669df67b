"""`Evaluator`: measures a trained model on held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from flambe.component import Component
from flambe.logs import log
from flambe_torch.data import to_device
from flambe_torch.metrics import metrics_beside
from flambe_torch.predicting import evaluating, fitting, predicted
from flambe_torch.samplers import Sampler


class Evaluator(Component):
    """Measures `model` in one pass, in evaluation mode; logs `eval/<metric>`.

    Args:
        model: Takes the columns of a batch but the last, which is the target, and returns predictions.
        metric_fn: A metric of `flambe_torch.metrics`, of torchmetrics, or a function of predictions and
            target.
        eval_sampler: One pass of its batches is measured.
        extra_metrics: Measured too; a list, or a mapping of names.
        accelerator: `cpu`, `gpu`, a torch device such as `cuda:1`, or `auto`: a GPU if there is one.

    Example:
        >>> from flambe_torch.metrics import Accuracy
        >>> from flambe_torch.samplers import BaseSampler
        >>> rows = [([0.1, 0.9], 1), ([0.7, 0.3], 1)]
        >>> evaluator = Evaluator(nn.Identity(), Accuracy(), BaseSampler(rows))
        >>> evaluator.step()
        False
        >>> evaluator.metric()
        0.5
    """

    def __init__(
        self,
        model: nn.Module,
        metric_fn: Any,
        eval_sampler: Sampler,
        *,
        extra_metrics: Iterable[Any] | Mapping[str, Any] = (),
        accelerator: str = "auto",
    ) -> None:
        self.model = model
        self.metric_fn = metric_fn
        self.eval_sampler = eval_sampler
        self.accelerator = accelerator
        self._metrics = metrics_beside(metric_fn, extra_metrics)
        self._name, metric = next(iter(self._metrics.items()))
        self.lower_is_better = metric.lower_is_better
        self.results: dict[str, float] = {}

    def step(self) -> bool:
        """Measure the model; there is nothing more to do then."""
        for metric in self._metrics.values():
            metric.reset()
        device, before = _device(self.accelerator), next(self.model.parameters(), torch.empty(0)).device
        self.model.to(device)
        with torch.no_grad(), evaluating(self.model):
            for *inputs, target in self.eval_sampler:
                given = (*fitting(self.model, inputs, device), to_device(target, device))
                predictions, expected = predicted(self.model, given)
                for metric in self._metrics.values():
                    metric.update(predictions, expected)
        self.model.to(before)
        self.results = {name: metric.compute() for name, metric in self._metrics.items()}
        for name, result in self.results.items():
            log(f"eval/{name}", result, 1)
        return False

    def metric(self) -> float | None:
        """What `metric_fn` measured; None before the step."""
        return self.results.get(self._name)

    def custom_state(self) -> Mapping[str, Any]:
        """What was measured, by name."""
        return {"results": self.results}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Take back what was measured."""
        self.results = dict(state["results"])


def _device(accelerator: str) -> torch.device:
    if accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
