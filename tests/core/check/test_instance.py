"""Links to attributes that a stage's object certainly does not have."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from flambe.check.instance import instance_attributes
from flambe.component import Component


class Plain(Component):
    declared: ClassVar[int] = 3

    def __init__(self, size: int) -> None:
        self.size = size
        self.left, (self.middle, *self.right) = size, (size, size)
        for self.number in range(3):
            pass

    @property
    def double(self) -> int:
        return 2 * len(self) + self[0]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index

    def later(self) -> None:
        def inner() -> None:
            self.late = 1

        inner()


class Child(Plain):
    def __init__(self) -> None:
        super().__init__(2)
        super(Child, self).later()  # noqa: UP008  # both forms are read
        self.own = True


class MakesUp(Plain):
    def __getattr__(self, name: str) -> int:
        return 1


class SetsByName(Plain):
    def fill(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


class Updates(Plain):
    def fill(self, **values: Any) -> None:
        self.__dict__.update(values)


class HandsItselfOut(Plain):
    def register(self, others: list[object]) -> None:
        others.append(self)


class Chained(Plain):
    def more(self) -> "Chained":
        return self


def decorate(cls: type) -> type:
    cls.added = 1
    return cls


@decorate
class Decorated(Plain):
    pass


class FromC(list):
    pass


def test_what_methods_assign_to_self_is_found_in_parents_and_inner_functions() -> None:
    assert instance_attributes(Plain) == {"size", "left", "middle", "right", "number", "late"}
    assert instance_attributes(Child) == {"size", "left", "middle", "right", "number", "late", "own"}


@pytest.mark.parametrize("cls", [MakesUp, SetsByName, Updates, HandsItselfOut, Chained, Decorated, FromC])
def test_where_there_may_be_more_nothing_is_said(cls: type) -> None:
    assert instance_attributes(cls) is None


@pytest.fixture
def problems() -> Callable[[str], list[str]]:
    from flambe.check import check
    from flambe.language.read import read_text
    from flambe.registry.registry import Registry

    def problems(text: str) -> list[str]:
        document = read_text(f"it: {__name__}\n---\nname: a\npipeline:\n{text}", "a.yaml")
        return [str(p) for p in check(document, Registry.load().with_header(document.header))]

    return problems


def test_a_misspelt_attribute_of_a_stage_is_found(problems) -> None:
    assert problems("  data: !it.Plain {size: 3}\n  use: !@ data.doubel\n") == [
        "a.yaml:6:8  pipeline.use: data: Plain has no attribute 'doubel'; did you mean 'double'?"
    ]


@pytest.mark.parametrize("link", ["size", "double", "late", "declared", "later", "number"])
def test_attributes_that_there_are_can_be_linked(problems, link: str) -> None:
    assert problems(f"  data: !it.Plain {{size: 3}}\n  use: !@ data.{link}\n") == []


@pytest.mark.parametrize("cls", ["MakesUp", "SetsByName", "HandsItselfOut", "Decorated"])
def test_attributes_that_there_may_be_can_be_linked(problems, cls: str) -> None:
    assert problems(f"  data: !it.{cls} {{size: 3}}\n  use: !@ data.doubel\n") == []
