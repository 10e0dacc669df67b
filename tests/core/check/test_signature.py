from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from flambe.check.signature import Parameter, Signature, Signatures
from flambe.component import Component

if TYPE_CHECKING:
    from nowhere import Missing

T = TypeVar("T")


def read(target: Callable[..., Any]) -> Signature:
    found = Signatures().of(target)
    assert found is not None
    return found


def test_string_annotations_are_resolved_one_by_one() -> None:
    class Encoder:
        def __init__(self, size: int, source: Missing, name: str | None = None) -> None: ...

    assert read(Encoder).parameters == (
        Parameter("size", int),
        Parameter("source", Any),
        Parameter("name", str | None, None),
    )


def test_kinds_of_parameters_are_told_apart() -> None:
    def build(a: int, /, b: int, *rest: str, c: int = 3, **more: int) -> None: ...

    assert read(build) == Signature(
        (
            Parameter("a", int, by_name=False),
            Parameter("b", int),
            Parameter("c", int, 3, by_position=False),
        ),
        extra=Parameter("rest", str),
        named_extra=True,
    )
    assert [p.name for p in read(build).positional] == ["a", "b"]
    assert read(build).names == ["b", "c"]
    assert read(build).get("a") is None


def test_a_component_takes_what_its_constructor_takes() -> None:
    class Bare(Component):
        pass

    class Sized(Component):
        def __init__(self, size: int) -> None: ...

    class Heir(Sized):
        pass

    assert read(Bare) == Signature()
    assert read(Sized) == read(Heir) == Signature((Parameter("size", int),))


def test_a_class_that_only_defines_new_takes_what_new_takes() -> None:
    class Point:
        def __new__(cls, x: int) -> Any: ...

    class Box(Generic[T]):
        def __init__(self, item: T) -> None: ...

    assert read(Point) == Signature((Parameter("x", int),))
    assert read(Box) == Signature((Parameter("item", T),))


def test_dataclasses_factories_and_partials_are_read() -> None:
    @dataclass
    class Settings:
        size: int
        name: str = "a"

        @classmethod
        def small(cls, name: str) -> Settings: ...

    assert read(Settings).names == ["size", "name"]
    assert read(Settings.small) == Signature((Parameter("name", str),))
    assert read(functools.partial(Settings, 3)).names == ["name"]


def test_wrapped_functions_show_what_they_wrap() -> None:
    def plain(size: int) -> None: ...

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert read(wrapper) == Signature((Parameter("size", int),))


class Hostile(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError

    @property
    def __signature__(cls) -> Any:
        raise RuntimeError


class Unreadable(metaclass=Hostile):
    pass


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None: ...


@pytest.mark.parametrize("target", [Unreadable, Unhashable()], ids=["metaclass", "unhashable"])
def test_what_cannot_be_inspected_has_no_signature(target: Any) -> None:
    assert Signatures().of(target) is None


@pytest.mark.parametrize("target", [tuple, dict, int, type("Text", (str,), {}), print, max])
def test_what_is_written_in_c_takes_anything(target: Any) -> None:
    found = Signatures().of(target)
    assert found is None or (found.extra is not None)


class Maker:
    size: int
    hidden: Missing
    shared: str = "a"

    def itself(self) -> Maker: ...

    def unknown(self) -> Missing: ...

    def generic(self, value: T) -> T: ...

    def silent(self): ...


class Heir(Maker):
    size: float  # type: ignore[assignment]


def test_return_types_are_resolved() -> None:
    signatures = Signatures()
    assert signatures.returned(Maker.itself) is Maker
    assert signatures.returned(Maker.unknown) is Any
    assert signatures.returned(Maker.generic) is Any
    assert signatures.returned(Maker.silent) is Any


def test_self_is_the_class_it_is_asked_about() -> None:
    typing_extensions = pytest.importorskip("typing_extensions")

    def make(cls: type) -> Any: ...

    make.__annotations__["return"] = typing_extensions.Self
    assert Signatures().returned(make, owner=Heir) is Heir


def test_class_annotations_include_those_of_parents() -> None:
    assert Signatures().attributes(Heir) == {"size": float, "hidden": Any, "shared": str}
