from collections.abc import Iterator

from flambe.variants.lazy import Lazy


def counted(made: list[int], stop: int = 10) -> Iterator[int]:
    for number in range(stop):
        made.append(number)
        yield number


def test_only_what_is_looked_at_is_made_and_only_once() -> None:
    made: list[int] = []
    numbers = Lazy(lambda: counted(made))
    assert made == []
    assert numbers
    assert made == [0]
    assert numbers[2] == 2
    assert numbers[:2] == [0, 1]
    assert made == [0, 1, 2]
    assert list(numbers) == list(numbers) == list(range(10))
    assert made == list(range(10))


def test_two_readers_can_go_through_it_side_by_side() -> None:
    numbers = Lazy(lambda: counted([]))
    assert list(zip(numbers, numbers, strict=True)) == [(i, i) for i in range(10)]


def test_the_end_counts_from_the_end() -> None:
    numbers = Lazy(lambda: counted([]))
    assert numbers[-1] == 9
    assert numbers[7:] == [7, 8, 9]
    assert numbers[:-8] == [0, 1]
    assert len(numbers) == 10


def test_nothing_is_false() -> None:
    assert not Lazy(lambda: counted([], 0))
