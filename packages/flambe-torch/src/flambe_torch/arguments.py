"""What a `Trainer` can be made of: checked when it is made, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, OneCycleLR, ReduceLROnPlateau

from flambe_torch.lightning import is_lightning, team_size
from flambe_torch.schedulers import FactorLR

if TYPE_CHECKING:
    from flambe_torch.trainer import Trainer

OURS = frozenset(
    {"max_epochs", "max_steps", "min_epochs", "min_steps", "val_check_interval", "check_val_every_n_epoch"}
    | {"limit_train_batches", "limit_val_batches", "overfit_batches", "fast_dev_run"}
    | {"accumulate_grad_batches", "num_sanity_val_steps", "gradient_clip_val", "gradient_clip_algorithm"}
)
"""Lightning's arguments that the trainer's own decide."""

_SETTING = (FactorLR, LambdaLR, OneCycleLR, CyclicLR)
"""Schedulers whose learning rate depends on the number of updates alone, not on what it was before."""


def check_counts(**counts: int | None) -> None:
    """Refuses counts below 1; None leaves one to the trainer.

    Raises:
        ValueError: the message says which.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, but it is {count}")


def check_limits(**limits: float | None) -> None:
    """Refuses limits that leave nothing of a gradient, or turn it round; None is no limit.

    Raises:
        ValueError: the message says which.
    """
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be above 0, but it is {limit}")


def check(trainer: Trainer, options: Mapping[str, Any]) -> None:
    """Refuses arguments that do not fit together; `options` are those that Lightning gets.

    Raises:
        ValueError: the message says which, and what was expected.
    """
    _check_model(trainer)
    if trainer.keep not in ("best", "last"):
        raise ValueError(f"keep must be 'best' or 'last', not {trainer.keep!r}")
    decided = OURS & options.keys()
    if decided:
        raise ValueError(f"the Trainer's own arguments decide Lightning's {', '.join(sorted(decided))}")
    _check_samplers(trainer, team_size(options["devices"]))
    _check_callbacks(trainer)
    _check_schedulers(trainer)
    _check_metrics(trainer)


def _check_callbacks(trainer: Trainer) -> None:
    from pytorch_lightning.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging

    if any(isinstance(callback, StochasticWeightAveraging) for callback in trainer.callbacks):
        raise ValueError(
            "StochasticWeightAveraging acts when an epoch ends, and all training is one epoch here; use "
            "Lightning's WeightAveraging or EMAWeightAveraging"
        )
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks):
        raise ValueError("GradientAccumulationScheduler counts epochs; use batches_per_iter")


def _check_schedulers(trainer: Trainer) -> None:
    each_step, each_iteration = trainer.scheduler, trainer.iter_scheduler
    if isinstance(each_step, ReduceLROnPlateau) and each_step.mode == "max" and trainer.lower_is_better:
        raise ValueError("ReduceLROnPlateau with mode max needs a metric that is better when higher")
    if isinstance(each_iteration, ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau needs what is measured after a step: give it as scheduler")
    if each_step is not None and isinstance(each_iteration, _SETTING):
        raise ValueError(
            f"{type(each_iteration).__name__} sets the learning rate anew after each iteration, which undoes "
            "what the scheduler does after a step: leave one of the two out"
        )


def _check_metrics(trainer: Trainer) -> None:
    if "loss" in trainer.metrics:
        raise ValueError("dev/loss is the loss: call the metric by another name than 'loss'")
    if isinstance(trainer.metric_fn, str) and not is_lightning(trainer.model):
        logged = ["dev/loss", *(f"dev/{name}" for name in trainer.metrics), "train/loss"]
        if trainer.metric_fn not in logged:
            raise ValueError(f"metric_fn is {trainer.metric_fn!r}, but what is logged is {', '.join(logged)}")


def _check_model(trainer: Trainer) -> None:
    own = is_lightning(trainer.model)
    brought = [name for name in ("loss_fn", "optimizer") if getattr(trainer, name) is not None]
    if own and brought:
        raise ValueError(f"a LightningModule brings its own {' and '.join(brought)}")
    if own and not isinstance(trainer.metric_fn, str):
        raise ValueError("a LightningModule needs metric_fn: the name of a value that it logs in validation")
    if own:
        _check_lightning(trainer)
    elif len(brought) < 2:
        raise ValueError("Trainer needs loss_fn and optimizer, unless the model is a LightningModule")
    elif not _is_trainable(trainer.optimizer):
        raise ValueError("nothing can be trained: all parameters of the optimizer are frozen")


def _is_trainable(optimizer: Optimizer | None) -> bool:
    groups = [] if optimizer is None else optimizer.param_groups
    return any(parameter.requires_grad for group in groups for parameter in group["params"])


def _check_lightning(trainer: Trainer) -> None:
    """Refuses what would do nothing beside a model that trains itself."""
    useless = [] if trainer.iter_scheduler is None else ["iter_scheduler"]
    useless += ["extra_metrics"] if trainer.metrics else []
    if useless:
        raise ValueError(
            f"a LightningModule brings its own schedulers and metrics: leave out {' and '.join(useless)}"
        )
    if trainer.max_grad_norm is not None and trainer.max_grad_abs_val is not None:
        raise ValueError(
            "a LightningModule's gradients are limited by max_grad_norm or max_grad_abs_val, not both"
        )


def _check_samplers(trainer: Trainer, processes: int) -> None:
    samplers = trainer.train_sampler, trainer.dev_sampler
    if any(len(sampler) == 0 for sampler in samplers):
        raise ValueError("there are too few rows for one batch")
    for sampler in samplers if processes > 1 else ():
        if getattr(sampler, "sequential", False):
            raise ValueError(
                f"each batch of a {type(sampler).__name__} goes on where the one before ended, so "
                "they cannot be dealt out to several processes: set devices to 1"
            )
