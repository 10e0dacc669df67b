from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flambe_torch.data import ArrayColumn, ListColumn, NestedColumn, PackedColumn, Rows

ragged = st.lists(st.lists(st.integers(-9, 10**10), max_size=6), min_size=1, max_size=8)


def padded(rows: list[list[int]], pad: int) -> list[list[int]]:
    longest = max([1, *map(len, rows)])
    return [row + [pad] * (longest - len(row)) for row in rows]


@given(ragged, st.data())
def test_packed_column_pads_each_batch_to_its_longest_row(rows: list[list[int]], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=5))
    column = PackedColumn.of(rows)
    assert column.batch(indices, -1).tolist() == padded([rows[i] for i in indices], -1)
    assert column.batch(indices).dtype == torch.int64
    chosen = column.select(indices)
    assert [chosen[i].tolist() for i in range(len(chosen))] == [rows[i] for i in indices]
    assert chosen.lengths.tolist() == [len(rows[i]) for i in indices]


@given(st.lists(ragged, min_size=1, max_size=5), st.data())
def test_nested_column_pads_both_ways(rows: list[list[list[int]]], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))
    chosen = [rows[i] for i in indices]
    longest = max([1, *(len(part) for row in chosen for part in row)])
    most = max([1, *map(len, chosen)])
    expected = [
        [part + [7] * (longest - len(part)) for part in row] + [[7] * longest] * (most - len(row))
        for row in chosen
    ]
    column = NestedColumn.of(rows)
    assert column.batch(indices, 7).tolist() == expected
    assert column.select(indices).batch(range(len(indices)), 7).tolist() == expected


def test_a_columns_own_pad_index_wins_over_the_samplers() -> None:
    column = PackedColumn.of([[1], [2, 3]], pad_index=9)
    assert column.batch([0, 1], 0).tolist() == [[1, 9], [2, 3]]
    assert column.select([1, 0]).batch([0, 1], 0).tolist() == [[2, 3], [1, 9]]


def test_rows_of_vectors_pad_in_their_first_dimension() -> None:
    column = PackedColumn.of([np.ones((1, 2)), np.ones((3, 2))])
    assert column.batch([0, 1]).shape == (2, 3, 2)
    assert column.batch([0, 1])[0, 1:].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_tables_are_made_of_tuples_mappings_and_torch_datasets() -> None:
    rows = Rows.of([([1, 2], "a", 0.5, 0), ([3], "b", 1.0, 1)])
    assert rows.names == ("0", "1", "2", "3")
    assert [type(column) for column in rows.columns.values()] == [
        PackedColumn,
        ListColumn,
        ArrayColumn,
        ArrayColumn,
    ]
    ids, text, weight, label = rows.batch([1, 0])
    assert (ids.tolist(), text, weight.tolist(), label.tolist()) == (
        [[3, 0], [1, 2]],
        ["b", "a"],
        [1.0, 0.5],
        [1, 0],
    )
    named = Rows.of([{"x": [1.0, 2.0], "y": True}, {"x": [3.0, 4.0], "y": False}])
    assert named.names == ("x", "y")
    assert named.batch([1])[1].dtype == torch.bool
    tensors = torch.utils.data.TensorDataset(torch.eye(3), torch.arange(3))
    assert Rows.of(tensors).batch([2])[0].tolist() == [[0.0, 0.0, 1.0]]
    assert Rows.of(rows) is rows


@pytest.mark.parametrize("scalar", [torch.tensor, np.array, np.int64])
def test_labels_may_be_tensors_and_arrays_of_one_number(scalar: Any) -> None:
    rows = Rows.of([(torch.tensor([1, 2]), scalar(0)), (torch.tensor([3]), scalar(1))])
    tokens, labels = rows.batch([1, 0])
    assert (tokens.tolist(), labels.tolist(), labels.dtype) == ([[3, 0], [1, 2]], [1, 0], torch.int64)
    part = torch.utils.data.Subset(torch.utils.data.TensorDataset(torch.eye(3), torch.arange(3)), [2, 0])
    assert [column.tolist() for column in Rows.of(part).batch([0])] == [[[0.0, 0.0, 1.0]], [2]]


def test_single_rows_and_slices_are_for_people() -> None:
    rows = Rows({"text": PackedColumn.of([[4, 5], [6], []]), "label": ArrayColumn.of([0, 1, 2])})
    assert rows[-1][1] == 2
    assert rows[0][0].tolist() == [4, 5]
    assert [label for _, label in rows[1:]] == [1, 2]
    assert rows.lengths is not None
    assert rows.lengths.tolist() == [2, 1, 0]
    with pytest.raises(IndexError, match="row 3 of 3"):
        rows[3]


def test_rows_are_counted_from_the_end_too_and_may_be_none() -> None:
    columns = {
        "array": ArrayColumn.of([0, 1, 2]),
        "packed": PackedColumn.of([[4, 5], [6], [7]]),
        "nested": NestedColumn.of([[[4]], [[5], [6]], [[7]]]),
        "list": ListColumn("abc"),
    }
    rows = Rows(columns)
    last = rows.batch([-1])
    for found, expected in zip(last, rows.batch([2]), strict=True):
        assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected
    assert [len(column) for column in rows.batch([])] == [0, 0, 0, 0]
    assert len(rows[3:]) == len(rows.select([])) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([([1, 2], 0), ([3],)], "row 1 has 1 columns, but row 0 has 2"),
        ([{"a": 1, "b": 2}, {"a": 3}], "row 1 has ['a'], but row 0 has ['a', 'b']"),
    ],
)
def test_rows_that_differ_in_their_columns_are_rejected(rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Rows.of(rows)


def test_there_is_one_pad_index_for_each_column_or_for_all() -> None:
    with pytest.raises(ValueError, match=r"^pad_index has 3 numbers for 2 columns$"):
        Rows.of([([1, 2], 0)]).batch([0], [0, 0, 0])


def test_columns_of_unequal_length_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"the columns differ in length: \{'a': 2, 'b': 1\}"):
        Rows({"a": ArrayColumn.of([1, 2]), "b": ArrayColumn.of([1])})


def test_a_table_pickles_out_of_band_and_is_read_only() -> None:
    rows = Rows({"text": PackedColumn.of([[4, 5], [6]] * 5000), "label": ArrayColumn.of([0, 1] * 5000)})
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(rows, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    assert len(buffers) == 3
    copy = pickle.loads(pickled, buffers=[bytes(buffer) for buffer in buffers])
    assert copy.batch([1, 0])[0].tolist() == [[6, 0], [4, 5]]
    column = rows.columns["label"]
    assert isinstance(column, ArrayColumn)
    with pytest.raises(ValueError, match="read-only"):
        column.values[0] = 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64])
def test_floats_of_every_type_can_be_rows(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.5, 1.0], [2.0, -4.0]]).to(dtype)
    for data in (torch.utils.data.TensorDataset(x), [(row,) for row in x]):
        (batch,) = Rows.of(data).batch([1, 0])
        assert batch.tolist() == [[2.0, -4.0], [0.5, 1.0]]
    (ragged,) = Rows.of([(x[0],), (x[0, :1],)]).batch([0, 1], -1.0)
    assert ragged.tolist() == [[0.5, 1.0], [0.5, -1.0]]


def test_batches_can_be_written_to() -> None:
    rows = Rows({"x": ArrayColumn.of([1.0, 2.0])})
    (batch,) = rows.batch([0, 1])
    batch += 1
    assert rows.batch([0, 1])[0].tolist() == [1.0, 2.0]
