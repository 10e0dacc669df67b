from typing import Any

from flambe.check.kept import keeps


class Encoder:
    def __init__(self, size: int, pooling: Any, name: str, twice: int) -> None:
        self.size = size
        self.pooling = pooling or "last"
        name = name.lower()
        self.name = name
        self.twice = twice
        self.twice += twice

    def grow(self) -> None:
        self.length = 2


class Heir(Encoder):
    pass


def test_only_a_plain_assignment_keeps_an_argument() -> None:
    assert keeps(Encoder, "size")
    assert not keeps(Encoder, "pooling")
    assert not keeps(Encoder, "name")
    assert not keeps(Encoder, "twice")
    assert not keeps(Encoder, "length")
    assert not keeps(Encoder, "missing")


def test_what_has_no_source_of_its_own_keeps_nothing() -> None:
    assert not keeps(Heir, "size")
    assert not keeps(type("Made", (), {}), "size")
    assert not keeps(int, "real")
