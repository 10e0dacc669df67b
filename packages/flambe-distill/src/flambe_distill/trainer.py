"""`DistillationTrainer`: trains a student on the labels and on what a teacher says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from flambe.errors import CannotChangeError
from flambe.logs import log
from flambe_distill.loss import DistillationLoss
from flambe_distill.teacher import Teacher
from flambe_distill.views import Together, columns_of, pads_of, redrawn, rows_of
from flambe_torch.data import ArrayColumn, Batch, Column, Rows
from flambe_torch.lightning import is_lightning
from flambe_torch.samplers import Sampler
from flambe_torch.trainer import Trainer

if TYPE_CHECKING:
    import pytorch_lightning as pl

SCORES = "teacher's scores"
Scores = npt.NDArray[np.float32]


class DistillationTrainer(Trainer):
    """Trains `student_model` to say what the labels say and what `teacher_model` says.

    The teacher is asked once about each row, before the first step: all variants of a run that have the
    same teacher and rows share what it said, and no batch holds its tokens. It is never trained and is moved
    back where it was; where it is a link, as it should be, it is not saved with the trial. How many rows it
    computed is logged as `distill/teacher_rows`. Everything else is as a `Trainer` does it: `metric_fn`
    measures the student on dev.

    The tables' last column is the target, where there is one. `teacher_columns` and `student_columns`,
    names or places, say what the models take; if not given, the columns whose names begin with `teacher`
    and `student`, as a `DistillationProcessor` names them; one that has neither name is for the model that
    has none. In a table of three columns without such names the first is the student's and the second the
    teacher's; in one of two columns both take the first.

    Args:
        train_sampler: Draws the rows to train on, from a table; see `Trainer`.
        dev_sampler: Draws the rows to measure on; the teacher's columns of its table are not looked at.
        teacher_model: Returns scores or log-probabilities (B, C).
        student_model: Likewise, for the same classes; also there as `model`.
        loss_fn: Takes the student's predictions and the target. Rows whose label it ignores
            (`ignore_index`) count for the divergence alone.
        metric_fn: Measures the student's predictions, as for a `Trainer`.
        alpha_kl: The teacher's share of the loss, from 0 to 1; see `DistillationLoss`.
        temperature: Softens what both say; above 0.
        unlabelled_sampler: Draws rows without labels, a batch beside each batch of `train_sampler`: they
            count for the divergence alone.
        teacher_batch_size: Rows that the teacher sees at once.

    The other arguments are those of a `Trainer`.
    """

    changeable: ClassVar[tuple[str, ...]] = (*Trainer.changeable, "alpha_kl", "temperature")

    def __init__(
        self,
        train_sampler: Sampler,
        dev_sampler: Sampler,
        teacher_model: nn.Module,
        student_model: nn.Module,
        *,
        loss_fn: Any = None,
        metric_fn: Any = None,
        optimizer: Optimizer | None = None,
        alpha_kl: float = 0.5,
        temperature: float = 1.0,
        unlabelled_sampler: Sampler | None = None,
        teacher_columns: Sequence[str | int] | None = None,
        student_columns: Sequence[str | int] | None = None,
        teacher_batch_size: int = 128,
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
        if is_lightning(student_model):
            raise ValueError("the student cannot be a LightningModule: it would bring its own loss")
        if teacher_batch_size < 1:
            raise ValueError(f"teacher_batch_size must be at least 1, not {teacher_batch_size}")
        super().__init__(
            train_sampler,
            dev_sampler,
            student_model,
            loss_fn,
            metric_fn,
            optimizer=optimizer,
            max_steps=max_steps,
            iter_per_step=iter_per_step,
            scheduler=scheduler,
            iter_scheduler=iter_scheduler,
            lower_is_better=lower_is_better,
            keep=keep,
            extra_metrics=extra_metrics,
            batches_per_iter=batches_per_iter,
            max_grad_norm=max_grad_norm,
            max_grad_abs_val=max_grad_abs_val,
            precision=precision,
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            callbacks=callbacks,
            lightning=lightning,
        )
        self.teacher_model = teacher_model
        self.student_model = student_model
        self.unlabelled_sampler = unlabelled_sampler
        self.teacher_batch_size = teacher_batch_size
        self._loss = DistillationLoss(loss_fn, alpha_kl, temperature)
        self._wanted = {"student": student_columns, "teacher": teacher_columns}
        self._scores: dict[str, Scores] | None = None
        given = {"train_sampler": train_sampler, "unlabelled_sampler": unlabelled_sampler}
        self._taught = {name: sampler for name, sampler in given.items() if sampler is not None}
        self._inputs = len(self._columns("student", "train_sampler"))
        for name, sampler in self._taught.items():
            if len(rows_of(sampler, name)) == 0:
                raise ValueError(f"{name} has no rows: give it a table with some, or leave it out")
            self._columns("teacher", name)
        for name in ("dev_sampler", *self._taught):
            if len(self._columns("student", name)) != self._inputs:
                raise ValueError(f"{name} has not as many columns for the student as train_sampler")

    @property
    def alpha_kl(self) -> float:
        """The teacher's share of the loss."""
        return self._loss.alpha_kl

    @alpha_kl.setter
    def alpha_kl(self, value: float) -> None:
        self._loss.alpha_kl = value

    @property
    def temperature(self) -> float:
        """What softens both distributions."""
        return self._loss.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._loss.temperature = value

    def change(self, path: str, value: Any) -> None:
        """Go on with a new value, as a `Trainer` does; `alpha_kl` and `temperature` may change too.

        Raises:
            CannotChangeError: it may not change, or not to this value.
        """
        try:
            super().change(path, value)
        except CannotChangeError:
            raise
        except ValueError as error:
            raise CannotChangeError(str(error)) from error

    def step(self) -> bool:
        """Train and validate once, as a `Trainer` does; the first time, the teacher is asked before."""
        if not self.finished and self._scores is None:
            self._scores = self._ask_teacher()
        return super().step()

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch, 0-d.

        The batch holds the student's columns, the teacher's scores and the target, and behind them the
        student's columns and the teacher's scores of unlabelled rows, if there are any.
        """
        count = self._inputs
        inputs, (teacher, target), unlabelled = batch[:count], batch[count : count + 2], batch[count + 2 :]
        student = self.model(*inputs)  # (B, C)
        if unlabelled:
            student = torch.cat([student, self.model(*unlabelled[:-1])])  # (B + U, C)
            teacher = torch.cat([teacher, unlabelled[-1]])  # (B + U, C)
        loss: torch.Tensor = self._loss(student, teacher, target)
        return loss

    def samplers(self) -> tuple[Sampler, Sampler]:
        """The same rows with other columns: the teacher's scores to train on, no teacher's columns on dev."""
        assert self._scores is not None, "step() asks the teacher first"
        views = [
            self._view(name, sampler, {SCORES: ArrayColumn(self._scores[name])})
            for name, sampler in self._taught.items()
        ]
        training = views[0] if len(views) == 1 else Together(*views)
        return training, self._view("dev_sampler", self.dev_sampler, {})

    def _finish(self) -> None:
        super()._finish()
        self._scores = None

    def _view(self, name: str, sampler: Sampler, more: Mapping[str, Column]) -> Sampler:
        """The student's columns, `more` and the target, where it counts."""
        rows = rows_of(sampler, name).columns
        target = [] if name == "unlabelled_sampler" else [list(rows)[-1]]
        student = {column: rows[column] for column in self._columns("student", name)}
        return redrawn(sampler, {**student, **more, **{column: rows[column] for column in target}})

    def _ask_teacher(self) -> dict[str, Scores]:
        """What the teacher says of all rows to train on, by sampler."""
        teacher = Teacher(self.teacher_model, self._device(), self.teacher_batch_size)
        found: dict[str, Scores] = {}
        for name, sampler in self._taught.items():
            rows = rows_of(sampler, name)
            pads = dict(zip(rows.names, pads_of(sampler), strict=True))
            columns = self._columns("teacher", name)
            table = Rows({column: rows.columns[column] for column in columns})
            found[name] = teacher.scores(table, [pads[column] for column in columns])
        if not self.steps_done:  # where training goes on, it was logged before
            log("distill/teacher_rows", teacher.rows, self.steps_done)
        return found

    def _columns(self, view: Literal["student", "teacher"], name: str) -> tuple[str, ...]:
        """The columns of the student or the teacher in the table of the sampler of that name."""
        rows = rows_of(getattr(self, name), name)
        labelled = name != "unlabelled_sampler"
        return columns_of(rows, view, self._wanted[view], labelled=labelled, where=f"{name}'s table")

    def _device(self) -> torch.device:
        """A GPU where training may use one."""
        wanted = self._options["accelerator"] in ("auto", "gpu", "cuda")
        return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")
