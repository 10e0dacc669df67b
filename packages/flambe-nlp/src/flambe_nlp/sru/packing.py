"""`Packing`: the tokens of a padded batch without the padding, and the order in which a recurrence meets them.

T is the longest sequence, B the batch, N ≤ T·B the number of tokens. Packed tokens are sorted by their
position in their own sequence, and within one position the sequences are sorted by length, longest first:
the tokens of one step lie together, and those of the step before that continue lie at the front of theirs
(the order of `torch.nn.utils.rnn.PackedSequence`). Padding may stand anywhere in a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple

import torch


class Segment(NamedTuple):
    """Packed tokens `start` to `stop`, whose states follow those in the rows from `previous` on."""

    start: int
    stop: int
    previous: int


@dataclass(frozen=True)
class Order:
    """How a recurrence in one direction walks through packed tokens.

    All states of a run lie in one table (B + N, H): the initial ones and, in packed order, one a token.

    Attributes:
        segments: The tokens in the order in which they are computed.
        initial: The rows of the table that hold the initial states.
        tokens: The rows of the table that hold the tokens' states.
        previous: (N,) int64, for each token the row of the state before it; a slice where that is one.
        last: (B,) int64, for each sequence the row of its last state; a slice where that is one.
    """

    segments: tuple[Segment, ...]
    initial: slice
    tokens: slice
    previous: torch.Tensor | slice
    last: torch.Tensor | slice


@dataclass(frozen=True)
class Packing:
    """Which tokens of a batch (T, B) there are and how they are packed.

    Attributes:
        positions: (N,) int64, where each packed token stands in the flattened (T, B); None if nothing is
            padded.
        rank: (N,) int64, the sorted sequence that each packed token is of; None if nothing is padded.
        sequences: (B,) int64, the sequences from the longest to the shortest; None if nothing is padded.
        orders: How to walk forwards and backwards.
    """

    shape: tuple[int, int]
    positions: torch.Tensor | None
    rank: torch.Tensor | None
    sequences: torch.Tensor | None
    orders: tuple[Order, Order]

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
        return cls((length, batch), positions, rank, sequences, _ragged_orders(lengths, rank))

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """The tokens (N, F) of x (T, B, F)."""
        flat = x.flatten(0, 1)
        return flat if self.positions is None else flat.index_select(0, self.positions)

    def unpack(self, tokens: torch.Tensor) -> torch.Tensor:
        """(T, B, H) of tokens (N, H), 0 at padded places."""
        length, batch = self.shape
        if self.positions is not None:
            empty = tokens.new_zeros(length * batch, tokens.shape[1])
            tokens = empty.index_copy(0, self.positions, tokens)
        return tokens.view(length, batch, -1)

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
    forwards = tuple(Segment(t * batch, (t + 1) * batch, t * batch) for t in range(length))
    backwards = tuple(Segment(t * batch, (t + 1) * batch, (t + 1) * batch) for t in reversed(range(length)))
    first, behind_first = slice(0, batch), slice(batch, batch + tokens)
    before_last, last = slice(0, tokens), slice(tokens, tokens + batch)
    return (
        Order(forwards, first, behind_first, previous=before_last, last=last),
        Order(backwards, last, before_last, previous=behind_first, last=first),
    )


def _ragged_orders(lengths: torch.Tensor, rank: torch.Tensor) -> tuple[Order, Order]:
    counts: list[int] = lengths.tolist()
    sizes = [sum(count > step for count in counts) for step in range(max(counts, default=0))]
    starts = list(accumulate(sizes, initial=0))
    initial = starts[-1]  # backwards, the initial states lie behind the tokens
    forwards = _forward_segments(sizes, starts, len(counts))
    backwards = _backward_segments(sizes, starts, initial)
    places = torch.tensor(starts, device=rank.device)
    rows = torch.arange(len(counts), device=rank.device)
    final = places[(lengths - 1).clamp(min=0)] + rows + len(counts)
    return (
        Order(
            forwards,
            slice(0, len(counts)),
            slice(len(counts), None),
            previous=_previous(forwards, rank.device),
            last=torch.where(lengths > 0, final, rows),
        ),
        Order(
            backwards,
            slice(initial, None),
            slice(0, initial),
            previous=_previous(backwards, rank.device),
            last=torch.where(lengths > 0, rows, rows + initial),
        ),
    )


def _forward_segments(sizes: Sequence[int], starts: Sequence[int], batch: int) -> tuple[Segment, ...]:
    before = [0, *(start + batch for start in starts)]
    return tuple(
        Segment(start, start + size, previous)
        for start, size, previous in zip(starts, sizes, before, strict=False)
    )


def _backward_segments(sizes: Sequence[int], starts: Sequence[int], initial: int) -> tuple[Segment, ...]:
    """At each step, the sequences that end there begin; the longer ones go on."""
    segments = []
    for step in reversed(range(len(sizes))):
        start, stop = starts[step], starts[step + 1]
        longer = sizes[step + 1] if step + 1 < len(sizes) else 0
        if longer:
            segments.append(Segment(start, start + longer, stop))
        if start + longer < stop:
            segments.append(Segment(start + longer, stop, initial + longer))
    return tuple(segments)


def _previous(segments: Sequence[Segment], device: torch.device) -> torch.Tensor:
    in_place = sorted(segments)
    rows = chain.from_iterable(range(s.previous, s.previous + s.stop - s.start) for s in in_place)
    return torch.tensor(list(rows), dtype=torch.int64, device=device)
