"""Samplers: they draw batches from rows, repeatably, and go on from any batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from flambe.component import Component
from flambe_torch.data import Array, Batch, Rows


class Sampler(Component, ABC):
    """Draws batches: an endless stream for training, one pass for evaluation.

    A pass is a function of its number alone, so a stream goes on exactly from any batch.

    Attributes:
        sequential: Whether each batch goes on where the one before ended. Such batches cannot be dealt out to
            several processes.
    """

    sequential: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches in a pass."""

    @abstractmethod
    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        """The batches of pass `number` (0, 1, …), from the `start`-th on."""

    def stream(self, start: int = 0) -> Iterator[Batch]:
        """Pass after pass without end, from the `start`-th batch on, in training order."""
        if len(self) == 0:
            raise ValueError("there are too few rows for one batch")
        number, start = divmod(start, len(self))
        while True:
            yield from self.batches(number, training=True, start=start)
            number, start = number + 1, 0

    def __iter__(self) -> Iterator[Batch]:
        """One pass, in evaluation order."""
        return self.batches(0, training=False)


class BaseSampler(Sampler):
    """Draws batches of equally many rows, each padded to its longest.

    Args:
        data: `Rows`, a list of tuples or mappings, or a torch `Dataset`; see `flambe_torch.data`.
        batch_size: Rows in a batch; the last batch of a pass may be smaller.
        shuffle: Draw in random order, a new one each pass. None: in training, but not in evaluation.
        pad_index: What short rows are padded with: one number, or one for each column.
        seed: Decides the random order. None: the seed that torch was given (each trial has its own).
        drop_last: Leave out a smaller last batch.
        bucket_by_length: Put rows of similar length together, which saves padding. In training rows are
            shuffled first, then sorted within pools of `pool_batches` batches, and the batches shuffled.
        pool_batches: Batches in a pool: more of them save more padding, fewer mix the rows better.
        downsample: Draw from so many of the rows only, the same in each pass: a share of them, above 0 up to
            1.0, or a whole number.
        downsample_seed: Chooses them; their order stays. The same seed and number give the same rows.

    Example:
        >>> sampler = BaseSampler([([4, 5, 6], 0), ([7], 1), ([8, 9], 0)], batch_size=2)
        >>> [target.tolist() for tokens, target in sampler]
        [[0, 1], [0]]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 64,
        *,
        shuffle: bool | None = None,
        pad_index: int | float | Sequence[int | float] = 0,
        seed: int | None = None,
        drop_last: bool = False,
        bucket_by_length: bool = False,
        pool_batches: int = 50,
        downsample: float | int | None = None,
        downsample_seed: int = 0,
    ) -> None:
        if batch_size < 1 or pool_batches < 1:
            raise ValueError(f"batch_size and pool_batches must be at least 1: {batch_size}, {pool_batches}")
        rows = Rows.of(data)
        self.data = rows if downsample is None else _chosen(rows, downsample, downsample_seed)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.pad_index = pad_index
        self.seed = torch.initial_seed() if seed is None else seed
        self.drop_last = drop_last
        self.pool_batches = pool_batches
        self._lengths = self.data.lengths if bucket_by_length else None
        if bucket_by_length and self._lengths is None:
            raise ValueError("bucket_by_length needs a column whose rows have a length")

    def __len__(self) -> int:
        full, rest = divmod(len(self.data), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        shuffled = training if self.shuffle is None else self.shuffle
        for indices in self._order(number, shuffled)[start:]:
            yield self.data.batch(indices, self.pad_index)

    def custom_state(self) -> Mapping[str, Any]:
        """The seed, which decides every later batch."""
        return {"seed": self.seed}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the order of the saved sampler."""
        self.seed = state["seed"]

    def _order(self, number: int, shuffled: bool) -> list[Array]:
        """The rows of each batch of a pass."""
        size = self.batch_size
        if not shuffled:
            order = np.arange(len(self.data))
            if self._lengths is not None:
                order = np.argsort(self._lengths, kind="stable")
            return _split(order, size)[: len(self)]
        random = np.random.default_rng([self.seed % 2**64, number])
        order = random.permutation(len(self.data))
        if self._lengths is None:
            return _split(order, size)[: len(self)]
        pools = [pool[np.argsort(self._lengths[pool], kind="stable")] for pool in self._pools(order)]
        batches = [batch for pool in pools for batch in _split(pool, size)][: len(self)]
        return [batches[place] for place in random.permutation(len(batches))]

    def _pools(self, order: Array) -> list[Array]:
        return _split(order, self.batch_size * self.pool_batches)


def downsampled(count: int, wanted: float | int | None) -> int:
    """How many of `count` things are wanted: all for None, a share of them, or the number itself.

    Raises:
        ValueError: no number can mean that.
    """
    if wanted is None:
        return count
    if isinstance(wanted, bool) or wanted <= 0 or (isinstance(wanted, float) and not wanted <= 1):
        raise ValueError(f"downsample must be a share up to 1.0 or a whole number from 1, not {wanted!r}")
    return max(1, round(wanted * count)) if isinstance(wanted, float) else min(wanted, count)


def _chosen(data: Rows, wanted: float | int, seed: int) -> Rows:
    chosen: Array = np.random.default_rng(seed).permutation(len(data))[: downsampled(len(data), wanted)]
    return data.select(np.sort(chosen))


def _split(order: Array, size: int) -> list[Array]:
    return [order[first : first + size] for first in range(0, len(order), size)]
