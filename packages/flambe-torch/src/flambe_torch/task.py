"""`Task`: what a `Trainer` learns and measures, as a Lightning module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import nn

from flambe_torch.data import Batch, at_least_float32, to_device
from flambe_torch.metrics import Metric


class Lessons(Protocol):
    """How to learn from a batch and what to predict for it; a `Trainer` is one."""

    optimizer: Any
    iter_scheduler: Any
    max_grad_norm: float | None
    max_grad_abs_val: float | None

    def modules(self) -> dict[str, nn.Module]:
        """The modules that move to the training's device, by name."""

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch, 0-d."""

    def predict(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions and target of a batch."""

    def dev_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch in validation, 0-d."""

    def rows_of_loss(self, target: torch.Tensor) -> int | torch.Tensor:
        """Of how many rows that is the mean."""


class Task(pl.LightningModule):
    """Trains by `lessons`; logs the losses and `metrics` once each validation is done."""

    def __init__(self, lessons: Lessons, metrics: Mapping[str, Metric]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(lessons.modules())
        self._lessons = lessons
        self._metrics = metrics
        self._train_loss, self._dev_loss = _Mean(), _Mean()

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        loss = self._lessons.training_loss(batch)
        self._train_loss.add(loss.detach())
        return loss

    # Lightning asks for the signature before each batch: written down, it is not worked out again.
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning names each hook that it calls here; torch's search for modules would cost more."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return tuple(to_device(column, device) for column in batch)

    def on_validation_epoch_start(self) -> None:
        for metric in self._metrics.values():
            metric.reset()

    def validation_step(self, batch: Batch, _: int) -> None:
        predictions, target = self._lessons.predict(batch)
        self._dev_loss.add(self._lessons.dev_loss(predictions, target), self._lessons.rows_of_loss(target))
        for metric in self._metrics.values():
            metric.update(predictions, target)

    def on_validation_epoch_end(self) -> None:
        reduce = self.trainer.strategy.reduce
        many = self.trainer.world_size > 1
        results: dict[str, torch.Tensor | float] = {
            "train/loss": self._train_loss.take(self.device, reduce),
            "dev/loss": self._dev_loss.take(self.device, reduce),
            **{f"dev/{name}": metric.compute() for name, metric in self._metrics.items()},
        }
        self.log_dict(results, sync_dist=many)  # the same in all processes; Lightning wants it said

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        limits = (("norm", self._lessons.max_grad_norm), ("value", self._lessons.max_grad_abs_val))
        for algorithm, limit in limits:
            if limit is not None:
                self.clip_gradients(optimizer, limit, algorithm)

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = self._lessons.optimizer, self._lessons.iter_scheduler
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer_states(self) -> dict[str, Any]:
        """The optimizer's and the scheduler's state, as they stand in a Lightning checkpoint."""
        scheduler = self._lessons.iter_scheduler
        return {
            "optimizer_states": [self._lessons.optimizer.state_dict()],
            "lr_schedulers": [] if scheduler is None else [scheduler.state_dict()],
        }


class _Mean:
    """A weighted mean that stays on the device until it is taken; float32 where the model trains in less."""

    def __init__(self) -> None:
        self._total: torch.Tensor | float = 0.0
        self._weight: torch.Tensor | int = 0

    def add(self, value: torch.Tensor, weight: torch.Tensor | int = 1) -> None:
        value = at_least_float32(value)
        if isinstance(weight, torch.Tensor):
            value = value.masked_fill(weight == 0, 0)  # the mean of nothing is NaN
        self._total = self._total + value * weight
        self._weight = self._weight + weight

    def take(self, device: torch.device, reduce: Callable[..., Any]) -> torch.Tensor:
        """The mean over all processes, 0-d; begins anew."""
        total = torch.as_tensor(self._total, device=device)
        sums = torch.stack([total, torch.as_tensor(self._weight, dtype=total.dtype, device=device)])
        total, weight = reduce(sums, reduce_op="sum")
        self._total, self._weight = 0.0, 0
        mean: torch.Tensor = total / weight  # NaN if nothing was added
        return mean
