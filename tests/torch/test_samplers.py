from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flambe_torch.data import ArrayColumn, PackedColumn, Rows
from flambe_torch.samplers import BaseSampler, downsampled


def rows(count: int) -> Rows:
    """Row i holds i, as a label and as many tokens (at most 9)."""
    tokens = PackedColumn.of([[1] * (1 + i * 7 % 9) for i in range(count)])
    return Rows({"tokens": tokens, "label": ArrayColumn.of(list(range(count)))})


def labels(batches: object) -> list[list[int]]:
    return [batch[1].tolist() for batch in batches]  # type: ignore[attr-defined]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    bucket=st.booleans(),
    drop_last=st.booleans(),
    pool_batches=st.integers(1, 4),
    number=st.integers(0, 3),
)
def test_each_pass_holds_every_row_once(
    count: int, batch_size: int, bucket: bool, drop_last: bool, pool_batches: int, number: int
) -> None:
    sampler = BaseSampler(
        rows(count),
        batch_size,
        bucket_by_length=bucket,
        drop_last=drop_last,
        pool_batches=pool_batches,
        seed=1,
    )
    expected = count - count % batch_size if drop_last else count
    for training in (True, False):
        drawn = labels(sampler.batches(number, training=training))
        assert len(drawn) == len(sampler)
        flat = [row for batch in drawn for row in batch]
        assert len(set(flat)) == len(flat) == expected
        assert all(len(batch) == batch_size for batch in drawn) or not drop_last


@given(start=st.integers(0, 30), bucket=st.booleans())
def test_a_stream_goes_on_from_any_batch(start: int, bucket: bool) -> None:
    sampler = BaseSampler(rows(20), 3, seed=5, bucket_by_length=bucket)
    whole = labels(islice(sampler.stream(), start + 10))
    assert labels(islice(sampler.stream(start), 10)) == whole[start:]


def test_training_shuffles_anew_each_pass_and_evaluation_does_not() -> None:
    sampler = BaseSampler(rows(20), 20, seed=5)
    first, second = labels(islice(sampler.stream(), 2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(20))
    assert labels(sampler) == [list(range(20))]
    assert labels(islice(BaseSampler(rows(20), 20, shuffle=False).stream(), 2)) == [list(range(20))] * 2


def test_the_seed_decides_the_order_and_defaults_to_torchs() -> None:
    def order(seed: int | None) -> list[list[int]]:
        return labels(islice(BaseSampler(rows(20), 20, seed=seed).stream(), 1))

    assert order(1) == order(1) != order(2)
    torch.manual_seed(1)
    assert order(None) == order(1)
    torch.manual_seed(2)
    assert order(None) == order(2)


def test_a_loaded_sampler_draws_as_the_saved_one() -> None:
    saved, loaded = BaseSampler(rows(20), 3, seed=7), BaseSampler(rows(20), 3, seed=8)
    loaded.load_custom_state(saved.custom_state())
    assert labels(islice(loaded.stream(), 9)) == labels(islice(saved.stream(), 9))


def test_buckets_hold_rows_of_similar_length() -> None:
    def padding(bucket: bool) -> int:
        sampler = BaseSampler(rows(90), 10, seed=0, bucket_by_length=bucket)
        return sum(int((tokens == 0).sum()) for tokens, _ in sampler.batches(0, training=True))

    assert padding(bucket=True) == 0, "90 rows of 9 lengths fill 9 batches of 10"
    assert padding(bucket=False) > 100
    drawn = [
        tokens.shape[1]
        for tokens, _ in BaseSampler(rows(90), 10, seed=0, bucket_by_length=True).batches(0, training=True)
    ]
    assert drawn != sorted(drawn), "the batches are shuffled"


def test_lists_are_converted_and_padded_as_asked() -> None:
    sampler = BaseSampler([([1, 2], 0), ([3], 1)], batch_size=2, pad_index=9)
    ((tokens, target),) = sampler
    assert (tokens.tolist(), target.tolist()) == ([[1, 2], [3, 9]], [0, 1])
    sampler = BaseSampler([([1, 2], [5]), ([3], [6, 7])], batch_size=2, pad_index=(9, 8))
    ((tokens, target),) = sampler
    assert (tokens.tolist(), target.tolist()) == ([[1, 2], [3, 9]], [[5, 8], [6, 7]])


@pytest.mark.parametrize(("downsample", "count"), [(0.25, 5), (7, 7), (1.0, 20), (50, 20), (0.001, 1)])
def test_some_of_the_rows_are_chosen_once(downsample: float, count: int) -> None:
    def chosen(choice: int, seed: int = 8) -> list[int]:
        sampler = BaseSampler(rows(20), 3, downsample=downsample, downsample_seed=choice, seed=seed)
        first, second, evaluated = (
            [row for batch in labels(drawn) for row in batch]
            for drawn in (sampler.batches(0, training=True), sampler.batches(1, training=True), sampler)
        )
        assert len(sampler) == -(-count // 3)
        assert sorted(first) == sorted(second) == evaluated, "in each pass the same"
        return evaluated

    assert len(set(chosen(0))) == count
    assert chosen(0) == chosen(0, seed=9), "in whatever order they are drawn"
    assert len({tuple(chosen(choice)) for choice in range(5)}) == 1 or count < 20
    assert len({tuple(chosen(choice)) for choice in range(5)}) > 1 or count == 20


def test_no_more_are_wanted_than_there_are() -> None:
    assert [downsampled(20, wanted) for wanted in (None, 50, 7, 0.5, 0.001)] == [20, 20, 7, 10, 1]


@pytest.mark.parametrize("downsample", [0, -3, 0.0, 1.5, float("nan"), True])
def test_a_number_of_rows_that_cannot_be_is_told(downsample: float) -> None:
    message = rf"^downsample must be a share up to 1.0 or a whole number from 1, not {downsample!r}$"
    with pytest.raises(ValueError, match=message):
        BaseSampler(rows(3), downsample=downsample)


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="batch_size and pool_batches must be at least 1: 0, 50"):
        BaseSampler(rows(3), 0)
    with pytest.raises(ValueError, match="bucket_by_length needs a column whose rows have a length"):
        BaseSampler([(1.0, 0), (2.0, 1)], bucket_by_length=True)
    with pytest.raises(ValueError, match="there are no rows to sample from"):
        BaseSampler([])
    with pytest.raises(ValueError, match="there are too few rows for one batch"):
        next(BaseSampler(rows(3), 4, drop_last=True).stream())
