"""`Packing`: the tokens of a padded batch without the padding, in the order in which a recurrence meets them.

T is the longest sequence, B the batch, N ≤ T·B the number of tokens. Packed tokens are sorted by their
position in their own sequence, and within one position the sequences are sorted by length, longest first:
the tokens of one step lie together, and those of the step before that continue lie at the front of theirs
(the order of `torch.nn.utils.rnn.PackedSequence`). Padding may stand anywhere in a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class Step(NamedTuple):
    """The tokens of part `part`: their states follow those in the table's rows from `previous` on.

    They are of the sorted sequences from `row` on.
    """

    part: int
    previous: int
    row: int


@dataclass(frozen=True)
class Order:
    """How a recurrence in one direction walks through packed tokens.

    All states of a run lie in one table (B + N, H): the initial ones and, in packed order, one a token.

    Attributes:
        sizes: The numbers of tokens of the parts, as which the packed tokens are computed.
        steps: The parts in the order in which they are computed.
        initial: The rows of the table that hold the initial states.
        tokens: The rows of the table that hold the tokens' states.
        last: (B,) int64, for each sequence the row of its last state; a slice where that is one.
    """

    sizes: tuple[int, ...]
    steps: tuple[Step, ...]
    initial: slice
    tokens: slice
    last: torch.Tensor | slice

    def split(self, tokens: torch.Tensor | None) -> Sequence[Any]:
        """For each step, in order, its part of tokens (N, H), as views; None for each if there is none."""
        if tokens is None:
            return [None] * len(self.steps)
        parts = tokens.split(self.sizes)  # type: ignore[no-untyped-call]  # torch's has no types
        return [parts[step.part] for step in self.steps]

    def rows(self, sequences: torch.Tensor | None) -> Sequence[Any]:
        """For each step, in order, the rows of its sequences among (B, H), as views."""
        if sequences is None:
            return [None] * len(self.steps)
        sizes = [self.sizes[step.part] for step in self.steps]
        return [
            sequences if size == len(sequences) else sequences.narrow(0, step.row, size)
            for step, size in zip(self.steps, sizes, strict=True)
        ]

    @cached_property
    def plan(self) -> npt.NDArray[np.int64]:
        """(S, 4), for each step where its tokens begin, how many they are, and its `previous` and `row`."""
        starts = list(accumulate(self.sizes, initial=0))
        rows = [(starts[step.part], self.sizes[step.part], step.previous, step.row) for step in self.steps]
        return np.array(rows, dtype=np.int64).reshape(-1, 4)

    def lengths(self, batch: int) -> npt.NDArray[np.int64]:
        """(B,), how many tokens each sequence has."""
        changes = np.zeros(batch + 1, dtype=np.int64)
        _, sizes, _, rows = self.plan.T
        np.add.at(changes, rows, 1)
        np.add.at(changes, rows + sizes, -1)
        return changes.cumsum()[:batch]

    def before(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """For each step, in order, the states before it, as views of the table (B + N, H)."""
        return [states.narrow(0, step.previous, self.sizes[step.part]) for step in self.steps]


@dataclass(frozen=True)
class Packing:
    """Which tokens of a batch (T, B) there are and how they are packed.

    Attributes:
        positions: (N,) int64, where each packed token stands in the flattened (T, B); None if nothing is
            padded.
        rank: (N,) int64, the sorted sequence that each packed token is of; None if nothing is padded.
        sequences: (B,) int64, the sequences from the longest to the shortest; None if nothing is padded.
        orders: How to walk forwards and backwards.
        pad: (T, B) bool, true where padding was kept among the tokens; None if it was left out.
    """

    shape: tuple[int, int]
    positions: torch.Tensor | None
    rank: torch.Tensor | None
    sequences: torch.Tensor | None
    orders: tuple[Order, Order]
    pad: torch.Tensor | None = None

    @classmethod
    def of(cls, length: int, batch: int, pad: torch.Tensor | None) -> Packing:
        """The packing of a batch whose padding is where `pad` (T, B) is true."""
        if pad is None or not bool(pad.any()):
            return cls((length, batch), None, None, None, _full_orders(length, batch))
        present = ~pad
        lengths, sequences = present.sum(0).sort(descending=True, stable=True)  # (B,) both
        columns = present[:, sequences].nonzero()  # (N, 2): position in T, rank
        position = present.cumsum(0)[:, sequences] - 1  # (T, B): the how-manieth token it is
        steps = position[columns[:, 0], columns[:, 1]]  # (N,)
        sort = (steps * batch + columns[:, 1]).argsort()
        rank = columns[sort, 1]
        positions = columns[sort, 0] * batch + sequences[rank]
        return cls((length, batch), positions, rank, sequences, _ragged_orders(lengths))

    @classmethod
    def keeping_padding(cls, length: int, batch: int, pad: torch.Tensor) -> Packing:
        """The packing in which all T·B places count as tokens."""
        return cls((length, batch), None, None, None, _full_orders(length, batch), pad)

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """The tokens (N, F) of x (T, B, F)."""
        if self.pad is not None:
            x = x.masked_fill(self.pad[:, :, None], 0)
        flat = x.flatten(0, 1)
        return flat if self.positions is None else flat.index_select(0, self.positions)

    def unpack(self, tokens: torch.Tensor) -> torch.Tensor:
        """(T, B, H) of tokens (N, H), 0 at padded places."""
        length, batch = self.shape
        if self.positions is not None:
            empty = tokens.new_zeros(length * batch, tokens.shape[1])
            tokens = empty.index_copy(0, self.positions, tokens)
        x = tokens.view(length, batch, tokens.shape[1])
        return x if self.pad is None else x.masked_fill(self.pad[:, :, None], 0)

    def sort(self, rows: torch.Tensor) -> torch.Tensor:
        """Something (B, F) of each sequence, in the order of `sequences`."""
        return rows if self.sequences is None else rows.index_select(0, self.sequences)

    def unsort(self, rows: torch.Tensor) -> torch.Tensor:
        """The inverse of `sort`."""
        return rows if self.sequences is None else rows.index_select(0, self.sequences.argsort())

    def spread(self, rows: torch.Tensor) -> torch.Tensor:
        """To each token (N, F) what its sequence has in rows (B, F)."""
        if self.rank is None:
            return rows.repeat(self.shape[0], 1)
        return self.sort(rows).index_select(0, self.rank)


def _full_orders(length: int, batch: int) -> tuple[Order, Order]:
    tokens = length * batch
    sizes = (batch,) * length
    forwards = tuple(Step(t, previous=t * batch, row=0) for t in range(length))
    backwards = tuple(Step(t, previous=(t + 1) * batch, row=0) for t in reversed(range(length)))
    front, back = slice(0, batch), slice(tokens, tokens + batch)
    return (
        Order(sizes, forwards, initial=front, tokens=slice(batch, batch + tokens), last=back),
        Order(sizes, backwards, initial=back, tokens=slice(0, tokens), last=front),
    )


def _ragged_orders(lengths: torch.Tensor) -> tuple[Order, Order]:
    """The orders for sequences of these lengths (B,), longest first."""
    counts: list[int] = lengths.tolist()
    sizes = [sum(count > step for count in counts) for step in range(max(counts, default=0))]
    starts = list(accumulate(sizes, initial=0))
    rows = torch.arange(len(counts), device=lengths.device)
    final = torch.tensor(starts, device=lengths.device)[(lengths - 1).clamp(min=0)] + rows + len(counts)
    tokens = starts[-1]
    backwards = _backward_parts(sizes, starts, tokens)
    before = [0, *(start + len(counts) for start in starts[:-2])]
    return (
        Order(
            tuple(sizes),
            tuple(Step(t, previous, row=0) for t, previous in enumerate(before[: len(sizes)])),
            initial=slice(0, len(counts)),
            tokens=slice(len(counts), len(counts) + tokens),
            last=torch.where(lengths > 0, final, rows),
        ),
        Order(
            tuple(size for size, _ in backwards),
            tuple(step for _, step in reversed(backwards)),
            initial=slice(tokens, tokens + len(counts)),
            tokens=slice(0, tokens),
            last=torch.where(lengths > 0, rows, rows + tokens),
        ),
    )


def _backward_parts(sizes: Sequence[int], starts: Sequence[int], initial: int) -> list[tuple[int, Step]]:
    """Sizes and steps of the parts: at each place the longer sequences go on, those that end there begin."""
    parts: list[tuple[int, Step]] = []
    for size, longer, stop in zip(sizes, [*sizes, 0][1:], starts[1:], strict=True):
        if longer:
            parts.append((longer, Step(len(parts), previous=stop, row=0)))
        if size > longer:
            parts.append((size - longer, Step(len(parts), previous=initial + longer, row=longer)))
    return parts
