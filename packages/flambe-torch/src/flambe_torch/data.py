"""Rows that were turned into numbers once and are batched without touching single rows in Python.

A `Rows` is a table of columns, one NumPy array (or two) each:

- `ArrayColumn`: every row has the same shape, such as a label;
- `PackedColumn`: rows of unequal length, such as token ids, laid end to end, with `offsets`;
- `NestedColumn`: rows of rows of unequal length, such as the characters of words;
- `ListColumn`: anything else, such as text, kept as it is and batched as a list.

All are immutable: their arrays are read-only, so a table can lie in shared memory. They pickle with
out-of-band buffers.

Example:
    >>> rows = Rows({"text": PackedColumn.of([[4, 5, 6], [7]]), "label": ArrayColumn.of([0, 1])})
    >>> rows.batch([0, 1])
    (tensor([[4, 5, 6],
            [7, 0, 0]]), tensor([0, 1]))
    >>> rows[1]
    (array([7], dtype=int32), 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, overload, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

Array: TypeAlias = npt.NDArray[Any]
Indices: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]
Batch: TypeAlias = tuple[Any, ...]
"""One entry a column: a tensor, or a list for a `ListColumn`. The last is the target, by convention."""


@runtime_checkable
class Column(Protocol):
    """One value for each row. `flambe_torch.data` says which kinds there are."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, row: int) -> Any:
        """The value of one row, for people."""

    @property
    def lengths(self) -> Array | None:
        """The length of each row (R,), or None if rows have no length of their own."""

    def batch(self, indices: Indices, pad_index: int | float = 0) -> Any:
        """The rows at `indices` as one tensor (B, …), each padded to the longest of them."""

    def select(self, indices: Indices) -> Column:
        """A column with the rows at `indices` only, in that order."""


class ArrayColumn:
    """A column whose rows all have the same shape; `values` is (R, …)."""

    __slots__ = ("values",)

    def __init__(self, values: Array) -> None:
        self.values = _frozen(values)

    @classmethod
    def of(cls, values: Any) -> ArrayColumn:
        """A column of numbers, or of rows of equally many numbers."""
        return cls(_array(values))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        value = self.values[row]
        return value.item() if value.ndim == 0 else value

    @property
    def lengths(self) -> Array | None:
        return None

    def batch(self, indices: Indices, pad_index: int | float = 0) -> torch.Tensor:
        return torch.from_numpy(_wide(self.values[_numbers(indices)]))

    def select(self, indices: Indices) -> ArrayColumn:
        return ArrayColumn(self.values[_numbers(indices)])


class PackedColumn:
    """A column of rows of unequal length: row i is `values[offsets[i]:offsets[i + 1]]`.

    `values` is (N, …) with N the sum of the lengths, `offsets` (R + 1,), from 0 to N. `pad_index`, where
    given, is this column's own and wins over the sampler's.
    """

    __slots__ = ("offsets", "pad_index", "values")

    def __init__(self, values: Array, offsets: Array, pad_index: int | float | None = None) -> None:
        self.values, self.offsets, self.pad_index = _frozen(values), _offsets(offsets, len(values)), pad_index

    @classmethod
    def of(cls, rows: Sequence[Any], pad_index: int | float | None = None) -> PackedColumn:
        """A column of sequences of numbers."""
        offsets = np.cumsum([0, *map(len, rows)])
        filled = [_array(row) for row in rows if len(row)]
        values = np.concatenate(filled) if filled else np.zeros(0, dtype=np.int64)
        return cls(_narrow(values), offsets, pad_index)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Array:
        first, last = _bounds(self.offsets, row)
        return self.values[first:last]

    @property
    def lengths(self) -> Array:
        return np.diff(self.offsets)

    def batch(self, indices: Indices, pad_index: int | float = 0) -> torch.Tensor:
        pad = pad_index if self.pad_index is None else self.pad_index
        return torch.from_numpy(self.padded(_numbers(indices), pad))

    def padded(self, indices: Array, pad_index: int | float) -> Array:
        """The rows at `indices` as one array (B, T, …), T the longest of them and at least 1."""
        positions, inside = _positions(self.offsets, indices)
        shape = (*positions.shape, *self.values.shape[1:])
        padded = np.full(shape, pad_index, dtype=_wide_type(self.values.dtype))
        padded[inside] = self.values[positions[inside]]
        return padded

    def select(self, indices: Indices) -> PackedColumn:
        positions, inside = _positions(self.offsets, _numbers(indices))
        offsets = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        return PackedColumn(self.values[positions[inside]], offsets, self.pad_index)


class NestedColumn:
    """A column of rows of sequences: row i is `inner[offsets[i]] … inner[offsets[i + 1] - 1]`.

    A batch is (B, T, C): the most sequences of a row, the longest of the sequences.
    """

    __slots__ = ("inner", "offsets")

    def __init__(self, inner: PackedColumn, offsets: Array) -> None:
        self.inner, self.offsets = inner, _offsets(offsets, len(inner))

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], pad_index: int | float | None = None) -> NestedColumn:
        """A column of sequences of sequences of numbers."""
        inner = PackedColumn.of([part for row in rows for part in row], pad_index)
        return cls(inner, np.cumsum([0, *map(len, rows)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> list[Array]:
        return [self.inner[part] for part in range(*_bounds(self.offsets, row))]

    @property
    def lengths(self) -> Array:
        return np.diff(self.offsets)

    def batch(self, indices: Indices, pad_index: int | float = 0) -> torch.Tensor:
        pad = pad_index if self.inner.pad_index is None else self.inner.pad_index
        positions, inside = _positions(self.offsets, _numbers(indices))
        parts = self.inner.padded(positions[inside], pad)
        padded = np.full((*positions.shape, *parts.shape[1:]), pad, dtype=parts.dtype)
        padded[inside] = parts
        return torch.from_numpy(padded)

    def select(self, indices: Indices) -> NestedColumn:
        positions, inside = _positions(self.offsets, _numbers(indices))
        offsets = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        return NestedColumn(self.inner.select(positions[inside]), offsets)


class ListColumn:
    """A column of values that are not numbers; a batch is a list."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = tuple(values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        return self.values[row]

    @property
    def lengths(self) -> Array | None:
        return None

    def batch(self, indices: Indices, pad_index: int | float = 0) -> list[Any]:
        return [self.values[index] for index in indices]

    def select(self, indices: Indices) -> ListColumn:
        return ListColumn([self.values[index] for index in indices])


class Rows(Sequence[tuple[Any, ...]]):
    """A table of named columns of equal length; what samplers draw batches from."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, Column]) -> None:
        sizes = {name: len(column) for name, column in columns.items()}
        if not sizes:
            raise ValueError("Rows needs at least one column")
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the columns differ in length: {sizes}")
        self._columns = dict(columns)

    @classmethod
    def of(cls, data: Any) -> Rows:
        """`data` as a table: `Rows`, tuples or mappings of values in a list or a torch `Dataset`.

        The conversion reads every row once. Columns of tuples are named "0", "1", …
        """
        if isinstance(data, Rows):
            return data
        columns = getattr(data, "tensors", None)  # a torch TensorDataset
        if columns is not None:
            return cls({str(place): ArrayColumn.of(column) for place, column in enumerate(columns)})
        rows = [data[row] for row in range(len(data))]
        if not rows:
            raise ValueError("there are no rows to sample from")
        _check_alike(rows)
        if isinstance(rows[0], Mapping):
            return cls({str(name): column_of([row[name] for row in rows]) for name in rows[0]})
        return cls({str(place): column_of(values) for place, values in enumerate(zip(*rows, strict=True))})

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns by name, in order."""
        return self._columns

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(self._columns)

    @property
    def lengths(self) -> Array | None:
        """The length of each row (R,): that of the first column whose rows have one."""
        found = (column.lengths for column in self._columns.values())
        return next((lengths for lengths in found if lengths is not None), None)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    @overload
    def __getitem__(self, row: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, row: slice) -> Rows: ...
    def __getitem__(self, row: int | slice) -> tuple[Any, ...] | Rows:
        if isinstance(row, slice):
            return self.select(range(*row.indices(len(self))))
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return tuple(column[row] for column in self._columns.values())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows: {', '.join(self._columns)})"

    def batch(self, indices: Indices, pad_index: int | float | Sequence[int | float] = 0) -> Batch:
        """The rows at `indices`: one tensor (B, …) a column, padded with `pad_index` or one for each."""
        columns = self._columns.values()
        if isinstance(pad_index, Sequence):
            if len(pad_index) != len(columns):
                raise ValueError(f"pad_index has {len(pad_index)} numbers for {len(columns)} columns")
            return tuple(c.batch(indices, pad) for c, pad in zip(columns, pad_index, strict=True))
        return tuple(column.batch(indices, pad_index) for column in columns)

    def select(self, indices: Indices) -> Rows:
        """The rows at `indices` only, in that order."""
        return Rows({name: column.select(indices) for name, column in self._columns.items()})


def _check_alike(rows: Sequence[Any]) -> None:
    """Refuses rows that have not all the columns of the first, or more."""
    first = rows[0]
    for number, row in enumerate(rows):
        if isinstance(first, Mapping) and set(row) != set(first):
            raise ValueError(f"row {number} has {sorted(row)}, but row 0 has {sorted(first)}")
        if not isinstance(first, Mapping) and len(row) != len(first):
            raise ValueError(f"row {number} has {len(row)} columns, but row 0 has {len(first)}")


def column_of(values: Sequence[Any]) -> Column:
    """The column that fits `values`, one for each row: numbers, sequences of numbers, or anything else."""
    if any(isinstance(value, str | bytes | Mapping) or value is None for value in values):
        return ListColumn(values)
    if not isinstance(values[0], Sequence) and getattr(values[0], "ndim", 0) == 0:
        array = np.asarray([value.item() if isinstance(value, torch.Tensor) else value for value in values])
        return ListColumn(values) if array.dtype.kind not in "biuf" else ArrayColumn(_narrow(array))
    first = next((value[0] for value in values if len(value)), 0)
    if isinstance(first, str | bytes | Mapping):
        return ListColumn(values)
    if isinstance(first, Sequence):
        return NestedColumn.of(values)
    if len({np.shape(value) for value in values}) == 1:
        return ArrayColumn.of(np.stack([_array(value) for value in values]))
    return PackedColumn.of(values)


def to_device(column: Any, device: torch.device) -> Any:
    """A column of a batch on `device`; what is not a tensor as it is."""
    return column.to(device, non_blocking=True) if isinstance(column, torch.Tensor) else column


def at_least_float32(value: torch.Tensor) -> torch.Tensor:
    """The numbers in a type in which sums of many keep their digits."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _numbers(indices: Indices) -> Array:
    """The indices as an array; an empty list has no type of its own, and is no list of floats."""
    array = np.asarray(indices)
    return array if array.size else array.astype(np.int64)


def _positions(offsets: Array, indices: Array) -> tuple[Array, Array]:
    """Where the rows' entries lie (B, T), and which of the places (B, T) are inside their row."""
    starts = offsets[:-1][indices]
    lengths = offsets[1:][indices] - starts
    places = np.arange(max(int(lengths.max(initial=0)), 1))
    return starts[:, None] + places, places < lengths[:, None]


def _bounds(offsets: Array, row: int) -> tuple[int, int]:
    row = range(len(offsets) - 1)[row]  # negative rows, and an IndexError past the end
    return int(offsets[row]), int(offsets[row + 1])


def _offsets(offsets: Array, size: int) -> Array:
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets must rise from 0 to {size}, the number of values")
    return _frozen(offsets)


def _frozen(array: Array) -> Array:
    """A read-only view, in one piece."""
    view: Array = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _array(value: Any) -> Array:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        unknown = value.is_floating_point() and value.dtype not in _NUMPY_FLOATS  # such as bfloat16
        return _narrow((value.float() if unknown else value).numpy())
    return _narrow(np.asarray(value))


_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


def _narrow(array: Array) -> Array:
    """The same numbers in half the memory where they fit: int64 as int32, float64 as float32."""
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype == np.int64 and np.abs(array).max(initial=0) < 2**31:
        return array.astype(np.int32)
    return array


def _wide_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a batch holds: int64, which losses and embeddings expect of whole numbers; floats as they are."""
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


def _wide(array: Array) -> Array:
    return array.astype(_wide_type(array.dtype), copy=False)
