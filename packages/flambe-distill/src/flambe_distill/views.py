"""Samplers that draw the rows of another sampler, with other columns."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

from flambe_torch.data import Batch, Column, Rows
from flambe_torch.episodes import EpisodicSampler, QuerySampler
from flambe_torch.samplers import Sampler


def rows_of(sampler: Sampler, name: str) -> Rows:
    """The table whose rows `sampler` draws, column by column.

    Raises:
        ValueError: It draws something else; `name` says which sampler it is.
    """
    rows = getattr(sampler, "data", None)
    if not isinstance(rows, Rows) or isinstance(sampler, (EpisodicSampler, QuerySampler)):
        raise ValueError(
            f"{name} must draw rows of a table, as BaseSampler does, not {type(sampler).__name__}"
        )
    return rows


def redrawn(sampler: Sampler, columns: Mapping[str, Column]) -> Sampler:
    """A sampler that draws what `sampler` does, row by row, but `columns` instead of its table's."""
    rows: Rows = sampler.data  # type: ignore[attr-defined]  # rows_of has looked
    made = copy.copy(sampler)
    pads = dict(zip(rows.names, pads_of(sampler), strict=True))
    made.data = Rows(columns)  # type: ignore[attr-defined]  # as above
    made.pad_index = [pads.get(name, 0) for name in columns]  # type: ignore[attr-defined]  # as above
    return made


def pads_of(sampler: Sampler) -> Sequence[int | float]:
    """What `sampler` pads each of its table's columns with."""
    names = sampler.data.names  # type: ignore[attr-defined]  # rows_of has looked
    pads = getattr(sampler, "pad_index", 0)
    return pads if isinstance(pads, Sequence) else [pads] * len(names)


def columns_of(
    rows: Rows, view: str, wanted: Sequence[str | int] | None, *, labelled: bool, where: str
) -> tuple[str, ...]:
    """The names of the columns that a model takes; `view` is `student` or `teacher`.

    Those that are `wanted`, by name or place; else those whose names begin with `view`; else the one whose
    name does not begin with the other's; else the student's is the first and the teacher's the second, or one
    is for both. The label is never among them, unless it is wanted.

    Raises:
        ValueError: There is no such column, or it is not clear which one is meant.
    """
    names = rows.names
    shown = ", ".join(names)
    if wanted is not None:
        for column in wanted:
            if column not in (names if isinstance(column, str) else range(len(names))):
                raise ValueError(f"{where} has no column {column!r}; it has {shown}")
        return tuple(column if isinstance(column, str) else names[column] for column in wanted)
    inputs = names[:-1] if labelled else names
    named = tuple(name for name in inputs if name.startswith(view))
    if named or len(inputs) == 1:
        return named or inputs
    other = "teacher" if view == "student" else "student"
    free = tuple(name for name in inputs if not name.startswith(other))
    if len(free) == 1:
        return free
    if len(inputs) != 2 or free != inputs:
        raise ValueError(f"{where} has the columns {shown}: say which are the {view}'s by {view}_columns")
    return (inputs[0 if view == "student" else 1],)


class Together(Sampler):
    """Each batch of one sampler, and behind its columns those of a batch of another, which never ends."""

    def __init__(self, first: Sampler, second: Sampler) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first)

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        others = self.second.stream(number * len(self) + start)
        for batch in self.first.batches(number, training=training, start=start):
            yield (*batch, *next(others))
