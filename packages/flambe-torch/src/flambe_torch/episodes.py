"""Samplers for learning from few examples: queries, each batch with the examples that they are told by.

A batch is (query columns …, support columns …, support target, query target), where the columns are those of
the rows but the last. A model takes all but the query target, as `flambe_nlp`'s `PrototypicalTextClassifier`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from flambe_torch.data import Array, ArrayColumn, Batch, Rows
from flambe_torch.samplers import Sampler

PadIndex = int | float | Sequence[int | float]


class EpisodicSampler(Sampler):
    """Draws episodes: some classes, `n_support` rows of each to learn from, and other rows to be told.

    An episode's classes are numbered anew, from 0, in the order of their numbers in `data`; with all classes
    in each episode they keep their numbers, if these go from 0 without a gap.

    Args:
        data: As for `BaseSampler`; the last column is the class.
        n_support: Rows of each class to learn from.
        n_query: Rows to be told, for each class of the episode.
        n_episodes: Episodes in a pass.
        n_classes: Classes in an episode, drawn at random; all of them unless given.
        balance_query: Draw `n_query` rows of each class; else as many in all, as the classes come.
        pad_index: What short rows are padded with: one number, or one for each column.
        seed: Decides what is drawn. None: the seed that torch was given (each trial has its own).

    Source: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017,
    algorithm 1.

    Example:
        >>> rows = [([4, 5], 0), ([6], 0), ([7], 1), ([8, 9], 1)]
        >>> sampler = EpisodicSampler(rows, n_support=1, n_query=1, n_episodes=2, balance_query=True, seed=0)
        >>> query, support, support_target, query_target = next(iter(sampler))
        >>> support_target, query_target
        (tensor([0, 1]), tensor([0, 1]))
    """

    def __init__(
        self,
        data: Any,
        n_support: int,
        n_query: int,
        n_episodes: int,
        n_classes: int | None = None,
        *,
        balance_query: bool = False,
        pad_index: PadIndex = 0,
        seed: int | None = None,
    ) -> None:
        if min(n_support, n_query, n_episodes) < 1:
            given = f"{n_support}, {n_query}, {n_episodes}"
            raise ValueError(f"n_support, n_query and n_episodes must be at least 1, but they are {given}")
        self.data = Rows.of(data)
        self._of_class = _rows_of_classes(self.data)
        self.n_support = n_support
        self.n_query = n_query
        self.n_episodes = n_episodes
        self.n_classes = len(self._of_class) if n_classes is None else n_classes
        self.balance_query = balance_query
        self.pad_index = pad_index
        self.seed = torch.initial_seed() if seed is None else seed
        self._check()

    def __len__(self) -> int:
        return self.n_episodes

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        """The episodes of pass `number` (0, 1, …), from the `start`-th on."""
        for episode in range(start, self.n_episodes):
            yield self._episode(np.random.default_rng([self.seed % 2**64, number, episode]))

    def custom_state(self) -> Mapping[str, Any]:
        """The seed, which decides every later episode."""
        return {"seed": self.seed}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the episodes of the saved sampler."""
        self.seed = state["seed"]

    def _episode(self, random: np.random.Generator) -> Batch:
        names = sorted(random.choice(sorted(self._of_class), self.n_classes, replace=False))
        drawn = [random.permutation(self._of_class[int(name)]) for name in names]
        support = [rows[: self.n_support] for rows in drawn]
        rest = [rows[self.n_support :] for rows in drawn]
        if self.balance_query:
            query = [rows[: self.n_query] for rows in rest]
        else:
            count = self.n_query * self.n_classes
            told = np.sort(random.permutation(sum(map(len, rest)))[:count])
            ends = np.cumsum([0, *map(len, rest)])
            query = [
                rows[told[(told >= first) & (told < last)] - first]
                for rows, first, last in zip(rest, ends[:-1], ends[1:], strict=True)
            ]
        *asked, _ = self.data.batch(np.concatenate(query), self.pad_index)
        *held, _ = self.data.batch(np.concatenate(support), self.pad_index)
        return (*asked, *held, _numbers(support), _numbers(query))

    def _check(self) -> None:
        sizes = {name: len(rows) for name, rows in self._of_class.items()}
        if len(sizes) < 2:
            raise ValueError("an episode is about two classes or more, but all rows are of one")
        if not 2 <= self.n_classes <= len(sizes):
            raise ValueError(f"n_classes must be from 2 to {len(sizes)}, but it is {self.n_classes}")
        needed = self.n_support + (self.n_query if self.balance_query else 0)
        for name, size in sizes.items():
            if size < needed:
                raise ValueError(f"class {name} has {size} rows, but an episode takes {needed}")
        left = sum(sorted(size - self.n_support for size in sizes.values())[: self.n_classes])
        wanted = self.n_query * self.n_classes
        if left < wanted:
            raise ValueError(
                f"an episode asks {wanted} rows, but the {self.n_classes} smallest classes have only {left} "
                "beside those to learn from"
            )


class QuerySampler(Sampler):
    """Goes through all rows of `data`, each batch with the same rows of `support` to learn from.

    For the dev sampler of a training on episodes and for an evaluation. Classes keep their numbers.

    Args:
        data: As for `BaseSampler`; the last column is the class.
        support: Rows like those of `data`, such as the training part.
        n_support: Rows of each class to learn from, drawn once by `seed`; all unless given.
        batch_size: Rows of `data` in a batch; the last batch may be smaller.
        pad_index: What short rows are padded with: one number, or one for each column.
        seed: Decides what is drawn. None: the seed that torch was given (each trial has its own).

    Example:
        >>> examples = [([7], 0), ([8], 1), ([9], 1)]
        >>> sampler = QuerySampler([([4, 5], 0), ([6], 1)], support=examples, n_support=1)
        >>> [(support_target, query_target) for _, _, support_target, query_target in sampler]
        [(tensor([0, 1]), tensor([0, 1]))]
    """

    def __init__(
        self,
        data: Any,
        support: Any,
        n_support: int | None = None,
        batch_size: int = 256,
        *,
        pad_index: PadIndex = 0,
        seed: int | None = None,
    ) -> None:
        if batch_size < 1 or (n_support is not None and n_support < 1):
            raise ValueError(f"n_support and batch_size must be at least 1: {n_support}, {batch_size}")
        self.data = Rows.of(data)
        self.support = Rows.of(support)
        self.n_support = n_support
        self.batch_size = batch_size
        self.pad_index = pad_index
        self.seed = torch.initial_seed() if seed is None else seed
        self._of_class = _rows_of_classes(self.support)
        unknown = sorted(set(_classes(self.data).tolist()) - set(self._of_class))
        if unknown:
            raise ValueError(f"the support has no rows of class {unknown[0]}")

    def __len__(self) -> int:
        return math.ceil(len(self.data) / self.batch_size)

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        """The batches of a pass, from the `start`-th on, in the order of the rows."""
        random = np.random.default_rng(self.seed % 2**64)
        support = [
            np.sort(random.permutation(self._of_class[name])[: self.n_support])
            for name in sorted(self._of_class)
        ]
        held = self.support.batch(np.concatenate(support), self.pad_index)
        for first in range(start * self.batch_size, len(self.data), self.batch_size):
            rows = range(first, min(first + self.batch_size, len(self.data)))
            *query, target = self.data.batch(rows, self.pad_index)
            yield (*query, *held, target)

    def custom_state(self) -> Mapping[str, Any]:
        """The seed, which decides what there is to learn from."""
        return {"seed": self.seed}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the support of the saved sampler."""
        self.seed = state["seed"]


def _classes(data: Rows) -> Array:
    """The last column (R,), whole numbers from 0.

    Raises:
        ValueError: it is something else.
    """
    name = data.names[-1]
    column = data.columns[name]
    values = column.values if isinstance(column, ArrayColumn) else None
    if values is None or values.ndim != 1 or values.dtype.kind not in "iub" or values.min(initial=0) < 0:
        raise ValueError(f"the last column must hold one class a row, a number from 0; {name!r} does not")
    return values


def _rows_of_classes(data: Rows) -> dict[int, Array]:
    """The rows of each class that there is."""
    classes = _classes(data)
    return {int(name): np.flatnonzero(classes == name) for name in np.unique(classes)}


def _numbers(rows: Sequence[Array]) -> torch.Tensor:
    """0 for each of the rows of the first class, 1 for those of the second, …"""
    sizes = torch.tensor([len(part) for part in rows])
    return torch.repeat_interleave(torch.arange(len(rows)), sizes)
