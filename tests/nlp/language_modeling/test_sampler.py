from __future__ import annotations

import numpy as np
import pytest
import torch

from flambe_nlp.language_modeling import CorpusSampler
from flambe_torch.data import PackedColumn, Rows

N, B, T = 83, 3, 5  # streams of 27 tokens: five full batches and one of two tokens


def corpus() -> list[int]:
    return [int(number) for number in np.random.default_rng(0).integers(0, 50, N)]


def by_hand(tokens: list[int]) -> list[tuple[list[list[int]], bool, list[list[int]]]]:
    """Stream by stream, token by token."""
    length = (len(tokens) - 1) // B
    expected = []
    for first in range(0, length, T):
        rows, targets = [], []
        for stream in range(B):
            places = [stream * length + place for place in range(first, min(first + T, length))]
            rows.append([tokens[place] for place in places])
            targets.append([tokens[place + 1] for place in places])
        expected.append((rows, first == 0, targets))
    return expected


def test_streams_lie_side_by_side_and_go_on_from_batch_to_batch() -> None:
    tokens = corpus()
    sampler = CorpusSampler(tokens, B, T)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 6
    for (x, start, target), (rows, begins, targets) in zip(batches, by_hand(tokens), strict=True):
        assert x.tolist() == rows
        assert target.tolist() == targets
        assert start.tolist() == [begins] * B
        assert (x.dtype, start.dtype, target.dtype) == (torch.int64, torch.bool, torch.int64)


def test_every_pass_is_the_same_and_can_be_entered_at_any_batch() -> None:
    sampler = CorpusSampler(corpus(), B, T)
    once = list(sampler.batches(0, training=True))
    for start in (0, 4, 6, 11):
        stream = sampler.stream(start)
        for place in range(start, 14):
            for column, expected in zip(next(stream), once[place % 6], strict=True):
                assert column.tolist() == expected.tolist()


def test_one_stream_leaves_nothing_out() -> None:
    tokens = corpus()
    batches = list(CorpusSampler(tokens, 1, 10))
    assert [number for x, _, _ in batches for number in x[0].tolist()] == tokens[:-1]
    assert [number for _, _, target in batches for number in target[0].tolist()] == tokens[1:]


def test_the_shorter_last_batch_can_be_left_out() -> None:
    assert [x.shape[1] for x, _, _ in CorpusSampler(corpus(), B, T)] == [5, 5, 5, 5, 5, 2]
    assert [x.shape[1] for x, _, _ in CorpusSampler(corpus(), B, T, drop_last=True)] == [5, 5, 5, 5, 5]


def test_documents_of_a_table_are_read_one_after_the_other() -> None:
    column = PackedColumn.of([[1, 2, 3], [], [4], [5, 6, 7, 8]])
    plain = list(CorpusSampler(range(1, 9), 2, 2))
    for data in (Rows({"text": column}), column, torch.arange(1, 9), np.arange(1, 9, dtype=np.int32)):
        for batch, expected in zip(CorpusSampler(data, 2, 2), plain, strict=True):
            assert [part.tolist() for part in batch] == [part.tolist() for part in expected]


def test_batches_are_views_of_the_corpus_until_they_are_drawn() -> None:
    numbers = np.arange(1000, dtype=np.int32)
    sampler = CorpusSampler(numbers, 7, 10)
    assert np.shares_memory(sampler._tokens, numbers)
    assert np.shares_memory(sampler._targets, numbers)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_corpus_that_is_too_short_has_no_batches(count: int) -> None:
    sampler = CorpusSampler(np.zeros(count, dtype=np.int32), B, T)
    assert list(sampler) == []
    with pytest.raises(ValueError, match="there are too few rows for one batch"):
        next(sampler.stream())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [[1, 2], [3, 4]],
            r"a corpus is a sequence of whole numbers \(N,\), but this is int64 of shape \(2, 2\)",
        ),
        ([0.5, 1.0], r"a corpus is a sequence of whole numbers \(N,\), but this is float64 of shape \(2,\)"),
        (
            Rows({"text": PackedColumn.of([[1, 2]]), "target": PackedColumn.of([[2, 3]])}),
            "a corpus is one column of token numbers, but there are text, target; "
            "texts that are read each by itself are for a BaseSampler",
        ),
    ],
)
def test_what_is_no_corpus_is_refused(data: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        CorpusSampler(data, B, T)


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"^batch_size and unroll_size must be at least 1: 0, 5$"):
        CorpusSampler([1, 2, 3], 0, 5)


@pytest.mark.parametrize(("downsample", "count"), [(0.5, 42), (31, 31), (1.0, N), (500, N)])
def test_only_the_beginning_of_a_corpus_is_read(downsample: float, count: int) -> None:
    tokens = corpus()
    sampler = CorpusSampler(tokens, B, T, downsample=downsample)
    assert [x.tolist() for x, _, _ in sampler] == [rows for rows, _, _ in by_hand(tokens[:count])]


@pytest.mark.parametrize("downsample", [0, 1.5, True])
def test_a_part_of_a_corpus_that_cannot_be_is_told(downsample: float) -> None:
    with pytest.raises(ValueError, match=r"^downsample must be a share up to 1\.0 or a whole number from 1"):
        CorpusSampler(corpus(), B, T, downsample=downsample)
