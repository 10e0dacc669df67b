"""`log`: metrics from anywhere in user code, kept with the trial that runs it.

Inside a trial a call appends to a list and returns; conversion, files and plots come at the end of
the step, outside the training loop. Outside a trial nothing is kept.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
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
    """Collects what one trial logs, in whichever thread, until the trial hands it on."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: deque[tuple[Kind, str, Any, int | None, float]] = deque()

    def add(self, kind: Kind, name: str, value: Any, step: int | None) -> None:
        self._records.append((kind, name, value, step, time.time()))

    def take(self) -> list[Record]:
        """What was logged since the last call, with plain numbers in place of 0-d tensors and arrays."""
        taken = []
        with suppress(IndexError):  # a signal handler that prints may have taken them meanwhile
            for _ in range(len(self._records)):
                taken.append(self._records.popleft())  # noqa: PERF401  # what it took is kept
        return [Record(kind, name, _plain(value), step, at) for kind, name, value, step, at in taken]


class Claim:
    """From `Current.set` to `Current.reset`, one recorder takes what is logged."""

    __slots__ = ("recorder", "token")

    def __init__(self, recorder: Recorder) -> None:
        self.recorder: Recorder | None = recorder
        self.token: Token[Claim | None] | None = None


class Current:
    """The recorder that takes what is logged: this context's own, else the process's.

    A thread that a trial starts does not have the trial's context, unless somebody hands it over. What it
    logs goes to the recorder that was set last and is not reset, in whichever thread that was.
    """

    def __init__(self) -> None:
        self._own: ContextVar[Claim | None] = ContextVar("flambe_recorder", default=None)
        self._claims: list[Claim] = []  # only by operations that other threads cannot cut in two

    def get(self) -> Recorder | None:
        """The recorder; None where none is set."""
        own = self._own.get()
        recorder = None if own is None else own.recorder
        if recorder is None:
            recorder = next((claim.recorder for claim in self._claims[-1:]), None)
        return recorder

    def set(self, recorder: Recorder) -> Claim:
        """Makes `recorder` the one, until `reset` is given what this returns."""
        claim = Claim(recorder)
        claim.token = self._own.set(claim)
        self._claims.append(claim)
        return claim

    def reset(self, claim: Claim) -> None:
        """Puts back what was before, also for threads that have been handed the context."""
        self._claims.remove(claim)
        claim.recorder = None
        if claim.token is not None:
            self._own.reset(claim.token)


CURRENT = Current()


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

    What a thread logs is the trial's that runs in its process. A 0-d tensor is read at the end of the step,
    so that logging a loss does not wait for the device.
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
