"""What a teacher says of rows: computed once for each row, whoever asks."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from flambe import once
from flambe.component import origin_of
from flambe_torch.data import Rows
from flambe_torch.predicting import evaluating, fitting

Pads = int | float | Sequence[int | float]
_NEARLY = 1e-3


class Teacher:
    """A trained model that is only asked.

    Args:
        model: Takes the columns of a batch and returns scores or log-probabilities (B, C).
        device: Where it computes; it is moved there and back.
        batch_size: Rows that it sees at once.
    """

    def __init__(self, model: nn.Module, device: torch.device, batch_size: int = 128) -> None:
        self._model = model
        self._device = device
        self._batch_size = batch_size
        self.rows = 0

    def scores(self, rows: Rows, pad_index: Pads = 0) -> npt.NDArray[np.float32]:
        """Scores (R, C) of the columns of `rows`; in a run, those that an earlier trial may have computed.

        `self.rows` counts the rows that this teacher itself computed.

        Raises:
            ValueError: The model returns something else than scores or log-probabilities of rows.
        """
        key = f"teacher-{fingerprint(self._model, rows, pad_index)}"
        found = once(key, lambda: {"scores": self._computed(rows, pad_index)})["scores"]
        return np.asarray(found)

    def _computed(self, rows: Rows, pad_index: Pads) -> npt.NDArray[np.float32]:
        """Rows of like length go through together; the model is left as it was found."""
        model = self._model
        before = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        lengths = rows.lengths
        order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
        parts = []
        model.to(self._device)
        try:
            with torch.no_grad(), evaluating(model):
                for first in range(0, len(order), self._batch_size):
                    batch = rows.batch(order[first : first + self._batch_size], pad_index)
                    found = model(*fitting(model, batch, self._device))
                    parts.append(found.float().cpu().numpy())
        finally:
            model.to(before)
        sorted_scores = np.concatenate(parts)
        check_scores(sorted_scores, len(rows))
        scores = np.empty_like(sorted_scores)
        scores[order] = sorted_scores
        self.rows += len(rows)
        return scores


def fingerprint(model: nn.Module, rows: Rows, pad_index: Pads = 0) -> str:
    """A hash of all that the scores depend on: the model's make and weights, and the columns' numbers."""
    made = hashlib.blake2b(digest_size=16)
    made.update(repr((_make_of(model), repr(model), pad_index)).encode())
    for name, tensor in model.state_dict().items():
        made.update(repr((name, _numbers_of(tensor))).encode())
    for column in rows.columns.values():
        buffers: list[pickle.PickleBuffer] = []
        made.update(pickle.dumps(column, protocol=5, buffer_callback=buffers.append))
        for buffer in buffers:
            made.update(buffer.raw())
    return made.hexdigest()


def _make_of(value: object) -> object:
    """What `value` was made with as plain data; linked values too, of which a config has the links alone."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, torch.Tensor):
        return _numbers_of(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        return str(value.dtype), value.shape, _hash(value.tobytes())
    if isinstance(value, Mapping):
        return {repr(key): _make_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_make_of(each) for each in value]
    kind, origin = type(value), origin_of(value)
    return kind.__module__, kind.__qualname__, {} if origin is None else _make_of(origin.arguments)


def _numbers_of(tensor: torch.Tensor) -> object:
    """Type, shape and a hash of a tensor's numbers."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return str(tensor.dtype), tuple(tensor.shape), _hash(data)


def _hash(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def check_scores(scores: npt.NDArray[np.float32], count: int) -> None:
    """Refuses what no softmax can be taken of as intended."""
    if scores.ndim != 2 or len(scores) != count:
        raise ValueError(
            f"the teacher must return scores of classes, (B, C), but for {count} rows it gave {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("the teacher's scores are not finite: did its training diverge?")
    if (scores >= 0).all() and np.abs(scores.sum(axis=1) - 1).max(initial=0) < _NEARLY:
        raise ValueError(
            "the teacher returns probabilities; let it return scores or log-probabilities "
            "(SoftmaxDecoder with take_log: true)"
        )
