"""`log`: metrics from anywhere in user code, kept with the trial that runs it.

Inside a trial a call appends to a list and returns; conversion, files and plots come at the end of
the step, outside the training loop. Outside a trial nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["scalar", "scalars", "text", "image", "histogram", "pr_curve", "hparams"]


@dataclass(frozen=True, slots=True)
class Record:
    """One logged value. `time` is seconds since the epoch."""

    kind: Kind
    name: str
    value: Any
    step: int | None
    time: float


class Recorder:
    """Collects what one trial logs until the trial hands it on."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: list[tuple[Kind, str, Any, int | None, float]] = []

    def add(self, kind: Kind, name: str, value: Any, step: int | None) -> None:
        self._records.append((kind, name, value, step, time.time()))

    def take(self) -> list[Record]:
        """What was logged since the last call, with plain numbers in place of 0-d tensors and arrays."""
        taken, self._records = self._records, []
        return [Record(kind, name, _plain(value), step, at) for kind, name, value, step, at in taken]


CURRENT: ContextVar[Recorder | None] = ContextVar("flambe_recorder", default=None)


class MetricSink(Protocol):
    """Where logged values are shown, such as TensorBoard. Runs beside the engine, not in the workers."""

    def open(self, folder: str, *, merge_plot: bool) -> None:
        """Begin a run whose results lie in `folder`."""

    def write(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        """Take what a trial logged, in order; all or nothing where a value cannot be shown, which raises."""

    def restart(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        """Forget what this trial logged, but for `records`: it goes on from an earlier step."""

    def close(self) -> None:
        """End the run: everything taken so far must be visible to a reader."""


def log(name: str, value: Any, step: int | None = None) -> None:
    """Log a number, a mapping of numbers (several curves in one plot) or a text.

    A 0-d tensor is read at the end of the step, so that logging a loss does not wait for the device.
    """
    recorder = CURRENT.get()
    if recorder is None:
        return
    if isinstance(value, str):
        recorder.add("text", name, value, step)
    elif isinstance(value, Mapping):
        recorder.add("scalars", name, dict(value), step)
    else:
        detach = getattr(value, "detach", None)
        recorder.add("scalar", name, value if detach is None else detach(), step)


def log_text(name: str, text: str, step: int | None = None) -> None:
    """Log a text; Markdown is shown as such."""
    _add("text", name, text, step)


def log_image(name: str, image: Any, step: int | None = None) -> None:
    """Log an array (H, W), (C, H, W) or (H, W, C) of whole numbers to 255, or floats to 1."""
    _add("image", name, _array(image), step)


def log_histogram(name: str, values: Any, step: int | None = None) -> None:
    """Log how an array's numbers are distributed."""
    _add("histogram", name, _array(values), step)


def log_pr_curve(
    name: str, labels: Any, scores: Any, step: int | None = None, *, thresholds: int = 127
) -> None:
    """Log precision over recall: `labels` are 0 or 1, `scores` in [0, 1], one for each row."""
    curve = {"labels": _array(labels), "scores": _array(scores), "thresholds": thresholds}
    _add("pr_curve", name, curve, step)


def log_hparams(choices: Mapping[str, Any]) -> None:
    """Log hyperparameters by name, to compare runs by."""
    _add("hparams", "hparams", dict(choices), None)


def _add(kind: Kind, name: str, value: Any, step: int | None) -> None:
    recorder = CURRENT.get()
    if recorder is not None:
        recorder.add(kind, name, value, step)


def _array(values: Any) -> Any:
    """A copy, as the trial goes on with its own; of a tensor, as an array."""
    import numpy

    detach = getattr(values, "detach", None)
    if detach is None:
        return numpy.array(values)
    tensor = detach().cpu()
    try:
        return tensor.numpy().copy()
    except TypeError:  # a type that NumPy lacks, such as bfloat16
        return tensor.float().numpy()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", 0) == 0:
        return item()
    return value
