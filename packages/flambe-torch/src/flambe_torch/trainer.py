"""`Trainer`: trains a model step by step, keeps the best, and goes on exactly where it was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from flambe.component import Component
from flambe.errors import CannotChangeError
from flambe.logs import log
from flambe_torch.arguments import check, check_counts, check_limits
from flambe_torch.changing import change, change_argument, change_optimizer, split
from flambe_torch.data import Batch
from flambe_torch.lightning import is_lightning, measures_averages, team_size
from flambe_torch.metrics import Metric, metrics_beside, metrics_of
from flambe_torch.predicting import predicted
from flambe_torch.samplers import Sampler
from flambe_torch.weights import Weights, copied

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from flambe_torch.fit import Fit
    from flambe_torch.team import Place, Team


class Trainer(Component):
    """Trains `model`: a step is `iter_per_step` iterations, then one pass over dev.

    Lightning does the devices, precision, strategies and callbacks: one fit that waits after each step.
    The model holds the newest weights while it is trained and the best ones at the end; the last ones are
    then in `last_weights`. What a step logs: `train/loss`, `train/lr`, `dev/loss`, `dev/<metric>` and
    `best/<metric>`.

    A subclass that learns in another way overrides `training_loss` (and `predict`, `modules`, `samplers`),
    and names more numbers that may change while it runs in `changeable`.

    Args:
        train_sampler: Its batches, without end and shuffled, are trained on.
        dev_sampler: Its batches are what each step is measured on.
        model: Takes the columns of a batch but the last, which is the target, and returns predictions. Or a
            `LightningModule`: it brings its own loss and optimizer, and gets the batches as they are.
        loss_fn: Takes predictions and target, and returns the mean loss.
        metric_fn: What ranks the steps and the variants: a metric of `flambe_torch.metrics`, of torchmetrics,
            or a function of predictions and target; None for the dev loss; for a `LightningModule`, the
            name of a value that it logs in validation.
        optimizer: Holds the model's parameters.
        max_steps: Number of steps.
        iter_per_step: Iterations (updates of the weights) in a step; None for as many as one pass takes.
        scheduler: A learning rate scheduler, stepped after each step. `ReduceLROnPlateau` sees the dev loss
            if its mode is `min`, and the metric if it is `max`.
        iter_scheduler: A learning rate scheduler, stepped after each iteration. Beside a `scheduler`, it must
            go on from the rate that it finds, as `ExponentialLR` does and `WarmupLR` does not.
        lower_is_better: Of the metric; None if it knows.
        keep: Whose weights the model holds at the end, and whose metric ranks the variants: the `best`
            step's, or the `last` one's, which a small dev part misleads less where the learning rate falls.
        extra_metrics: Measured on dev too; a list, or a mapping of names.
        batches_per_iter: Batches whose gradients are averaged for one iteration.
        max_grad_norm: Gradients are scaled so that their norm is at most this.
        max_grad_abs_val: Gradients are clamped to at most this; after `max_grad_norm`.
        precision: Lightning's, such as `32-true` or `bf16-mixed`.
        accelerator: Lightning's, such as `cpu` or `gpu`.
        devices: Lightning's: how many, or which.
        strategy: Lightning's, such as `ddp`; see the package's README for more than one device.
        callbacks: Lightning callbacks. Those that monitor a value name it as it is logged (`dev/loss`). All
            training is one epoch to them.
        lightning: More arguments of Lightning's `Trainer`.
    """

    changeable: ClassVar[tuple[str, ...]] = ("max_grad_norm", "max_grad_abs_val")

    def __init__(
        self,
        train_sampler: Sampler,
        dev_sampler: Sampler,
        model: nn.Module,
        loss_fn: Any = None,
        metric_fn: Any = None,
        *,
        optimizer: Optimizer | None = None,
        max_steps: int = 10,
        iter_per_step: int | None = None,
        scheduler: Any = None,
        iter_scheduler: Any = None,
        lower_is_better: bool | None = None,
        keep: Literal["best", "last"] = "best",
        extra_metrics: Iterable[Any] | Mapping[str, Any] = (),
        batches_per_iter: int = 1,
        max_grad_norm: float | None = None,
        max_grad_abs_val: float | None = None,
        precision: str = "32-true",
        accelerator: str = "auto",
        devices: int | str | Sequence[int] = 1,
        strategy: str = "auto",
        callbacks: Sequence[pl.Callback] = (),
        lightning: Mapping[str, Any] | None = None,
    ) -> None:
        check_counts(max_steps=max_steps, iter_per_step=iter_per_step, batches_per_iter=batches_per_iter)
        check_limits(max_grad_norm=max_grad_norm, max_grad_abs_val=max_grad_abs_val)
        self.train_sampler = train_sampler
        self.dev_sampler = dev_sampler
        self.model = model
        self.loss_fn = loss_fn
        self.metric_fn = metric_fn
        self.optimizer = optimizer
        self.max_steps = max_steps
        self.scheduler = scheduler
        self.iter_scheduler = iter_scheduler
        self.batches_per_iter = batches_per_iter
        self.iter_per_step = iter_per_step or math.ceil(len(train_sampler) / batches_per_iter)
        self.max_grad_norm = max_grad_norm
        self.max_grad_abs_val = max_grad_abs_val
        self.keep = keep
        self._options = {
            "precision": precision,
            "accelerator": accelerator,
            "devices": devices,
            "strategy": strategy,
            **(lightning or {}),
        }
        self.callbacks = tuple(callbacks)
        self.metrics, self._ranked_by = self._measured(extra_metrics)
        self.lower_is_better = self._direction(lower_is_better)
        check(self, self._options)

        self.steps_done = 0
        self.best_step = 0
        self.best_metric: float | None = None
        self.last_weights: Weights | None = None
        self.finished = False
        self._best_weights: Weights | None = None
        self._progress: Mapping[str, Any] = {}
        self._fit: Fit | None = None
        self._team: Team | None = None
        self._place: Place | None = None

    def step(self) -> bool:
        """Train and validate once; returns whether there is more to do."""
        if self.finished:
            return False
        if self._fit is None:
            self._fit = self._start()
        self._tell("step")
        if self._fit.advance():
            self._take(self._fit)
        if self._fit.ended or self.steps_done >= self.max_steps:
            self._finish()
        return not self.finished

    def metric(self) -> float | None:
        """The best dev metric so far, or the last where that is kept; None before the first step."""
        return self.best_metric

    def close(self) -> None:
        """Free what training holds; the next `step` goes on from here."""
        if self._fit is not None:
            self._progress = self._progress_now()
        self.leave()

    def finish(self) -> None:
        """End training now, as after the last step: the model holds the best weights."""
        if not self.finished and self.steps_done:
            self._tell("finish")
            self._finish()

    def change(self, path: str, value: Any) -> None:
        """Go on with a new value from the next step: of `max_steps`, or of a number in `changeable`.

        Or of a hyperparameter of the optimizer (`optimizer.lr`, see `change_optimizer` for schedulers of
        the learning rate), or of what the model and the loss let change (`model.encoder.dropout`).

        Raises:
            CannotChangeError: it may not change, or not to this value.
        """
        self.close()
        name, rest = split(path)
        if name == "optimizer" and rest and self.optimizer is not None:
            change_optimizer(self.optimizer, (self.scheduler, self.iter_scheduler), rest, value)
        elif path == "max_steps":
            self._change_steps(value)
        elif rest:
            change(getattr(self, name, None), rest, value)
        elif name in self.changeable:
            self._change_number(name, value)
        else:
            may = ", ".join(("max_steps", *self.changeable))
            raise CannotChangeError(
                f"{type(self).__name__} cannot change {path!r} while it trains; it can change {may}, "
                "numbers of the optimizer such as optimizer.lr, and dropouts of the model"
            )

    def join(self, place: Place) -> None:
        """Train as one of the processes of a team."""
        self._place = place

    def leave(self) -> None:
        """Free what training holds, and forget how far the newest step came."""
        if self._fit is not None:
            self._fit.close()
            self._fit = None
        self._dismiss()

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch, 0-d: what is trained on."""
        loss: torch.Tensor = self.loss_fn(*self.predict(batch))
        return loss

    def predict(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions and target of a batch: what is measured."""
        return predicted(self.model, batch)

    def dev_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch in validation, 0-d."""
        loss: torch.Tensor = self.loss_fn(predictions, target)
        return loss

    def rows_of_loss(self, target: torch.Tensor) -> int | torch.Tensor:
        """Of how many rows the mean loss of a batch in validation is: those whose target is not ignored."""
        ignored = getattr(self.loss_fn, "ignore_index", None)
        if ignored is None or target.is_floating_point():
            return len(target)
        counted: torch.Tensor = (target != ignored).sum()
        return counted

    def samplers(self) -> tuple[Sampler, Sampler]:
        """What batches are drawn from: to train on, and to measure on."""
        return self.train_sampler, self.dev_sampler

    def modules(self) -> dict[str, nn.Module]:
        """The modules that training moves to its device, by name."""
        named = {"model": self.model, "loss_fn": self.loss_fn}
        return {name: module for name, module in named.items() if isinstance(module, nn.Module)}

    def custom_state(self) -> Mapping[str, Any]:
        """How far training is; the best or the last weights, where the model does not hold them."""
        return {
            "steps_done": self.steps_done,
            "best_step": self.best_step,
            "best_metric": self.best_metric,
            "finished": self.finished,
            "best_weights": None if self._model_is_best else self._best_weights,
            "last_weights": self.last_weights,
            "progress": self._progress_now(),
        }

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; the model, the optimizer and the schedulers take back theirs themselves."""
        self.close()
        self.steps_done = state["steps_done"]
        self.best_step = state["best_step"]
        self.best_metric = state["best_metric"]
        self.finished = state["finished"]
        self._best_weights = state["best_weights"]
        self.last_weights = state["last_weights"]
        self._progress = state["progress"]

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the running fit: a copy goes on from its progress."""
        return {**self.__dict__, "_progress": self._progress_now(), "_fit": None, "_team": None}

    def _progress_now(self) -> Mapping[str, Any]:
        if self._fit is None:
            return self._progress
        self._tell("_progress_now")  # Lightning lets its processes wait for each other here
        return self._fit.progress()

    def _tell(self, what: str) -> None:
        if self._team is not None:
            self._team.tell(what)

    def _dismiss(self) -> None:
        if self._team is not None:
            from flambe_torch.team import release

            release()
            self._team.close()
            self._team = self._place = None

    @property
    def _model_is_best(self) -> bool:
        return self.finished or (self.best_step == self.steps_done and not self._averages)

    @property
    def _averages(self) -> bool:
        """Whether what is measured are averages, and not what the model holds while it is trained."""
        return measures_averages(self.callbacks)

    def _change_number(self, name: str, value: Any) -> None:
        before = getattr(self, name)
        change_argument(self, name, value)
        try:
            check_limits(max_grad_norm=self.max_grad_norm, max_grad_abs_val=self.max_grad_abs_val)
        except ValueError as error:
            setattr(self, name, before)
            raise CannotChangeError(str(error)) from error

    def _change_steps(self, steps: Any) -> None:
        if not isinstance(steps, int) or isinstance(steps, bool) or steps <= self.steps_done:
            raise CannotChangeError(
                f"max_steps is a whole number above the {self.steps_done} steps that are done, not {steps!r}"
            )
        self.max_steps = steps

    def _measured(self, extra: Iterable[Any] | Mapping[str, Any]) -> tuple[dict[str, Metric], str]:
        """What is measured on dev, and the name under which the value that ranks is logged."""
        if self.metric_fn is None or isinstance(self.metric_fn, str):
            return metrics_of(extra), self.metric_fn or "dev/loss"
        metrics = metrics_beside(self.metric_fn, extra)
        return metrics, f"dev/{next(iter(metrics))}"

    def _direction(self, lower_is_better: bool | None) -> bool:
        if lower_is_better is not None:
            return lower_is_better
        name = self._ranked_by.removeprefix("dev/")
        return self.metrics[name].lower_is_better if name in self.metrics else name.endswith("loss")

    def _start(self) -> Fit:
        """A fit that goes on from where training is."""
        from flambe_torch.fit import Fit
        from flambe_torch.task import Task
        from flambe_torch.team import Team

        if self.steps_done and self._best_weights is None:
            self._best_weights = copied(self.model)
        batches = self.iter_per_step * self.batches_per_iter
        for part in (self.optimizer, self.iter_scheduler):
            if callable(tell := getattr(part, "set_total_iterations", None)):
                tell(self.max_steps * self.iter_per_step)
        options = {**self._options, "accumulate_grad_batches": self.batches_per_iter}
        module: pl.LightningModule
        if is_lightning(self.model):
            module = self.model
            options["gradient_clip_val"] = self.max_grad_norm or self.max_grad_abs_val
            options["gradient_clip_algorithm"] = "norm" if self.max_grad_norm else "value"
        else:
            module = Task(self, self.metrics)
        module.train()
        if self._place is None and team_size(self._options["devices"]) > 1:
            self._team = Team(self, team_size(self._options["devices"]))
            self._place = self._team.place
        return Fit(
            module,
            *self.samplers(),
            batches_per_step=batches,
            start=batches * self.steps_done,
            progress=self._progress,
            callbacks=self.callbacks,
            plugins=[] if self._place is None else [self._place],
            options=options,
        )

    def _take(self, fit: Fit) -> None:
        """Log and rank what the fit did in a step."""
        self.steps_done += 1
        results = fit.results
        if self._ranked_by not in results:
            known = ", ".join(sorted(results)) or "nothing"
            raise ValueError(f"metric_fn is {self._ranked_by!r}, but the model logs {known}")
        value = results[self._ranked_by]
        if self._is_better(value):
            self.best_metric, self.best_step = value, self.steps_done
            measured: Any = fit.measured
            model = measured if is_lightning(self.model) else measured.parts["model"]
            self._best_weights = copied(model, self._best_weights)
        results["train/lr"] = fit.optimizer.param_groups[0]["lr"]
        results[f"best/{self._ranked_by.removeprefix('dev/')}"] = self.best_metric or 0.0
        for name, result in results.items():
            log(name, result, self.steps_done)
        self._step_scheduler(value, results)

    def _is_better(self, value: float) -> bool:
        best = self.best_metric
        if best is None or math.isnan(best) or self.keep == "last":
            return True
        return value < best if self.lower_is_better else value > best

    def _step_scheduler(self, value: float, results: Mapping[str, float]) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(value if self.scheduler.mode == "max" else results.get("dev/loss", value))
        elif self.scheduler is not None:
            self.scheduler.step()

    def _finish(self) -> None:
        """Put the best weights into the model, and keep the last ones."""
        if self._fit is not None:
            self._fit.end()
        self._fit, self._progress, self.finished = None, {}, True
        self._dismiss()
        if self.best_step != self.steps_done and self._best_weights is not None:
            self.last_weights = copied(self.model)
            self.model.load_state_dict(self._best_weights)
        elif self._averages and self._best_weights is not None:
            self.model.load_state_dict(self._best_weights)
        self._best_weights = None
        self.model.eval()
