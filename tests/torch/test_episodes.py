from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flambe_torch.data import ArrayColumn, PackedColumn, Rows
from flambe_torch.episodes import EpisodicSampler, QuerySampler

SIZES = {0: 7, 1: 5, 2: 9, 3: 6}


def rows(sizes: dict[int, int] = SIZES) -> Rows:
    """Row i holds the token i + 1, i + 1 times at most 3, and its class."""
    classes = [name for name, size in sizes.items() for _ in range(size)]
    tokens = [[place + 1] * (1 + place % 3) for place in range(len(classes))]
    return Rows({"text": PackedColumn.of(tokens), "label": ArrayColumn.of(classes)})


def class_of(token: int) -> int:
    return int(rows()[token - 1][1])


@given(
    n_support=st.integers(1, 3),
    n_query=st.integers(1, 2),
    n_classes=st.sampled_from([None, 2, 3, 4]),
    balance=st.booleans(),
    seed=st.integers(0, 99),
)
def test_episodes_hold_what_is_asked(
    n_support: int, n_query: int, n_classes: int | None, balance: bool, seed: int
) -> None:
    sampler = EpisodicSampler(rows(), n_support, n_query, 3, n_classes, balance_query=balance, seed=seed)
    count = n_classes or 4
    assert len(sampler) == 3
    for query, support, support_target, query_target in sampler:
        assert sorted(support_target.tolist()) == sorted(list(range(count)) * n_support)
        assert len(query) == len(query_target) == n_query * count
        if balance:
            assert sorted(query_target.tolist()) == sorted(list(range(count)) * n_query)
        seen, asked = support[:, 0].tolist(), query[:, 0].tolist()
        assert len(set(seen + asked)) == len(seen) + len(asked), "no row twice"
        names = {number: class_of(token) for token, number in zip(seen, support_target.tolist(), strict=True)}
        assert sorted(names) == list(range(count))
        assert list(names.values()) == sorted(names.values()), "numbered in the order of the classes"
        for token, number in zip(seen + asked, support_target.tolist() + query_target.tolist(), strict=True):
            assert names[number] == class_of(token)
        if n_classes is None:
            assert all(number == name for number, name in names.items())


@given(start=st.integers(0, 20))
def test_a_stream_goes_on_from_any_episode(start: int) -> None:
    sampler = EpisodicSampler(rows(), 2, 2, 3, 2, seed=5)
    whole = list(islice(sampler.stream(), start + 4))
    for resumed, expected in zip(islice(sampler.stream(start), 4), whole[start:], strict=True):
        for one, other in zip(resumed, expected, strict=True):
            assert torch.equal(one, other)


def drawn(sampler: Any) -> list[list[int]]:
    return [batch[0][:, 0].tolist() for batch in islice(sampler.stream(), 4)]


def test_the_seed_decides_the_episodes_and_is_kept() -> None:
    def sampler(seed: int | None) -> EpisodicSampler:
        return EpisodicSampler(rows(), 2, 2, 2, seed=seed)

    assert drawn(sampler(1)) == drawn(sampler(1)) != drawn(sampler(2))
    assert drawn(sampler(1))[:2] != drawn(sampler(1))[2:], "each pass is another"
    torch.manual_seed(1)
    assert drawn(sampler(None)) == drawn(sampler(1))
    loaded = sampler(7)
    loaded.load_custom_state(sampler(1).custom_state())
    assert drawn(loaded) == drawn(sampler(1))


def test_queries_are_all_rows_with_one_support_of_other_rows() -> None:
    asked = Rows({"text": PackedColumn.of([[90], [91], [92]]), "label": ArrayColumn.of([3, 0, 1])})
    sampler = QuerySampler(asked, rows(), n_support=2, batch_size=2, seed=0)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 2
    assert [batch[0].tolist() for batch in batches] == [[[90], [91]], [[92]]]
    assert [batch[3].tolist() for batch in batches] == [[3, 0], [1]]
    for _, support, classes, _ in batches:
        assert classes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert [class_of(token) for token in support[:, 0].tolist()] == classes.tolist()
        assert torch.equal(support, batches[0][1])
    (again,) = islice(sampler.batches(5, training=True, start=1), 1)
    assert torch.equal(again[1], batches[0][1])
    other = QuerySampler(asked, rows(), n_support=2, seed=1)
    other_support = next(iter(other))[1]
    assert not torch.equal(other_support, batches[0][1])
    other.load_custom_state(sampler.custom_state())
    assert torch.equal(next(iter(other))[1], batches[0][1])
    everything = next(iter(QuerySampler(asked, rows())))
    assert len(everything[1]) == len(rows())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "n_support, n_query and n_episodes must be at least 1, but they are 0, 1, 1"),
        ((2, 1, 1, 5), "n_classes must be from 2 to 4, but it is 5"),
        ((6, 1, 1), "class 1 has 5 rows, but an episode takes 6"),
        ((4, 4, 1), "an episode asks 16 rows, but the 4 smallest classes have only 11 beside those to learn"),
    ],
)
def test_episodes_that_cannot_be_drawn_are_told(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodicSampler(rows(), *arguments)


def test_data_that_does_not_fit_is_told() -> None:
    with pytest.raises(ValueError, match="class 1 has 5 rows, but an episode takes 6"):
        EpisodicSampler(rows(), 4, 2, 1, balance_query=True)
    with pytest.raises(
        ValueError, match="the last column must hold one class a row, a number from 0; '1' does"
    ):
        EpisodicSampler([([1], 0.5), ([2], 1.5)], 1, 1, 1)
    with pytest.raises(ValueError, match="the support has no rows of class 9"):
        QuerySampler([([1], 9)], rows())
    with pytest.raises(ValueError, match="n_support and batch_size must be at least 1: 0, 256"):
        QuerySampler(rows(), rows(), 0)


def test_rows_of_one_class_make_no_episode() -> None:
    with pytest.raises(
        ValueError, match=r"^an episode is about two classes or more, but all rows are of one$"
    ):
        EpisodicSampler([([1, 2], 0), ([3], 0)], n_support=1, n_query=1, n_episodes=1)
