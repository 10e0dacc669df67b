"""`Fit`: Lightning at work for a `Trainer`, one step at a time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler

from flambe_torch.data import Batch
from flambe_torch.samplers import Sampler
from flambe_torch.stepped_fit import SteppedFit
from flambe_torch.task import Task

ELSEWHERE = ("state_dict", "hyper_parameters", "hparams_name", "hparams_type")
"""What of a Lightning checkpoint is not progress: the model is saved as a part of the trainer."""

IN_PARTS = ("optimizer_states", "lr_schedulers")
"""What the trainer's optimizer and scheduler hold themselves, where they are not a LightningModule's own."""


_AVERAGING: Any = getattr(pl.callbacks, "WeightAveraging", ())
"""Callbacks that put averages in the weights' place in validation and at the end; Lightning 2.6 has them."""


class Fit:
    """One Lightning fit that waits after each validation.

    Args:
        batches_per_step: Batches between two validations, in each process.
        start: Batches that were trained on before, in each process.
        progress: What `progress()` returned when training stopped; empty at its beginning.
        options: Arguments of Lightning's `Trainer`.
    """

    def __init__(
        self,
        module: pl.LightningModule,
        train_sampler: Sampler,
        dev_sampler: Sampler,
        *,
        batches_per_step: int,
        start: int,
        progress: Mapping[str, Any],
        callbacks: Sequence[pl.Callback],
        plugins: Sequence[Any],
        options: Mapping[str, Any],
    ) -> None:
        self._module = module
        self._samplers = train_sampler, dev_sampler
        self._start = start
        self._callbacks = callbacks
        self._kept = _Progress(module, progress)
        self._stepped = SteppedFit(self._run)
        given = dict(options)
        more = given.pop("plugins", None) or []
        _hush()
        with quiet():
            self._trainer = pl.Trainer(
                max_epochs=-1,
                check_val_every_n_epoch=None,
                val_check_interval=batches_per_step,
                num_sanity_val_steps=0,
                callbacks=[*callbacks, self._stepped],
                plugins=[*(more if isinstance(more, list | tuple) else [more]), *plugins, self._kept],
                enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
                **{"profiler": _NoProfiler(), **_PLAIN, **given},
            )

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do, for a callback's sake or by `end`."""
        return self._stepped.done or self._trainer.should_stop

    @property
    def results(self) -> dict[str, float]:
        """What was logged in the last step, by name."""
        return {name: float(value) for name, value in self._trainer.callback_metrics.items()}

    @property
    def measured(self) -> pl.LightningModule:
        """The module with the weights that the last validation measured."""
        for callback in self._callbacks:
            average = callback._average_model if isinstance(callback, _AVERAGING) else None
            if average is not None:
                averaged: pl.LightningModule = average.module
                return averaged
        return self._module

    @property
    def optimizer(self) -> Any:
        """The first optimizer."""
        return self._trainer.optimizers[0]

    def advance(self) -> bool:
        """Train and validate once; returns whether that was done before the fit came to its end."""
        with quiet():
            self._stepped.advance()
        return not self._stepped.done

    def end(self) -> None:
        """Let the fit come to its end now: callbacks run, weights move back to the CPU."""
        self._trainer.should_stop = True
        while not self._stepped.done:
            self.advance()

    def close(self) -> None:
        """Leave the fit at once, wherever it is."""
        with quiet():
            self._stepped.close()

    def progress(self) -> Mapping[str, Any]:
        """What a new fit needs to go on from here, with what the trainer's parts hold in their own state."""
        if self._stepped.waiting:
            self._trainer.save_checkpoint("progress", weights_only=False)
        return self._kept.state

    def _run(self) -> None:
        processes, rank = self._trainer.world_size, self._trainer.global_rank
        train, dev = self._samplers
        self._trainer.fit(
            self._module,
            _Stream(train, self._start, rank, processes),
            _Pass(dev, rank, processes),
            ckpt_path="progress" if self._kept.state else None,
        )


_PLAIN = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "inference_mode": False,
    "use_distributed_sampler": False,
}
"""No output of Lightning's own, and no folders, unless they are asked for."""


class _Stream:
    """The training batches that one process sees, from its `start`-th on."""

    def __init__(self, sampler: Sampler, start: int, rank: int, processes: int) -> None:
        self._sampler, self._start, self._rank, self._processes = sampler, start, rank, processes

    def __iter__(self) -> Iterator[Batch]:
        first = self._start * self._processes + self._rank
        return islice(self._sampler.stream(first), 0, None, self._processes)


class _Pass:
    """The dev batches that one process sees."""

    def __init__(self, sampler: Sampler, rank: int, processes: int) -> None:
        self._sampler, self._rank, self._processes = sampler, rank, processes

    def __len__(self) -> int:
        return len(range(self._rank, len(self._sampler), self._processes))

    def __iter__(self) -> Iterator[Batch]:
        return islice(self._sampler, self._rank, None, self._processes)


class _Progress(CheckpointIO):
    """Keeps a Lightning checkpoint in memory, without what is saved elsewhere."""

    def __init__(self, module: pl.LightningModule, state: Mapping[str, Any]) -> None:
        self.state = dict(state)
        self._module = module

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: Any, storage_options: Any = None) -> None:
        elsewhere = {*ELSEWHERE, *(IN_PARTS if isinstance(self._module, Task) else ())}
        if not _are_same(checkpoint["state_dict"], self._module.state_dict()):
            elsewhere.remove("state_dict")  # a callback put others there, such as averages
        self.state = {name: part for name, part in checkpoint.items() if name not in elsewhere}

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        held = {"state_dict": self._module.state_dict()}
        if isinstance(self._module, Task):
            held |= self._module.optimizer_states()
        kept = self.state if "state_dict" not in self.state else deepcopy(self.state)
        return {**held, **kept}

    def remove_checkpoint(self, path: Any) -> None:
        self.state = {}


def _are_same(weights: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether `weights` lie where `own` do."""
    return weights.keys() == own.keys() and all(map(_share_memory, weights.values(), own.values()))


def _share_memory(one: Any, other: Any) -> bool:
    if not isinstance(one, torch.Tensor) or one.layout is not torch.strided:
        return True
    return bool(one.data_ptr() == other.data_ptr())


class _NoProfiler(PassThroughProfiler):
    """Lightning enters its profiler some thirty times a batch; this one costs nothing."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._nothing


def _hush() -> None:
    """Leave out warnings about what is so on purpose, or what Lightning's users can do nothing about."""
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    # All modules were put into training mode just before: those that are not refuse it, as frozen ones do.
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start", UserWarning)


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's banners and tips stay off the terminal; its warnings do not."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logging.WARNING, logger.level))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
