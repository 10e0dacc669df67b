# ruff: noqa: UP006, UP007, UP045 - the old spellings must be understood too
from __future__ import annotations

import collections
import datetime
import decimal
import enum
import os
import pathlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, Protocol, TypeVar, Union

import pytest

from flambe.check.types import Judge
from flambe.check.values import ANYTHING, Possible, Typed
from flambe.language import nodes
from flambe.language.nodes import Build, Distribution, Draws, Entry, Grid, Node, Scalar
from flambe.language.walk import format_path


class Plain:
    """A class without anything."""


class Child(Plain):
    pass


class Other:
    pass


class Listlike:
    def __getitem__(self, index: int) -> int:
        return index


class Numeric:
    def __float__(self) -> float:
        return 1.0


class HasSize(Protocol):
    size: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Options(typing.TypedDict):
    size: int


class Pair(typing.NamedTuple):
    left: int
    right: int


T = TypeVar("T", bound=Plain)
Size = typing.NewType("Size", int)


def node(value: Any) -> Node:
    if isinstance(value, Node):
        return value
    if isinstance(value, list):
        return nodes.Sequence(tuple(map(node, value)))
    if isinstance(value, dict):
        return nodes.Mapping(tuple(Entry(key, node(item)) for key, item in value.items()))
    return Scalar(value)


def misfits(value: Any, annotation: Any, built: Typed | None = None) -> list[tuple[str, str, str, str]]:
    def possible(written: Node) -> list[Possible]:
        if isinstance(written, Build) and built is not None:
            return [Possible(built)]
        return [ANYTHING]

    found = Judge(possible).misfits(node(value), annotation)
    return [(format_path(each.steps), each.expected, each.found, each.hint) for each in found]


FITS = [
    (1, int), (1, float), (1.5, float), (1, complex), (True, bool), ("a", str), (None, None),
    (None, Optional[int]), (1, Optional[int]), (1, int | None), ("a", Union[int, str]), ("a", int | str),
    (True, int | bool), (True, object), (True, Any), ("a", T), ("a", HasSize), ("a", Callable[[int], int]),
    ("a", typing.Callable), ("a", type), ("a", "unresolved"),
    ("a/b", pathlib.Path), ("a/b", os.PathLike), ("a/b", os.PathLike[str]), ("a/b", pathlib.Path | None),
    ("a", Literal["a", "b"]), (1, Literal[1, 2]), (None, Literal["a", None]), (None, Literal["a"] | None),
    ([1, 2], list), ([1, 2], list[int]), ([1, 2.5], list[float]), ([1, 2], Sequence[int]),
    ([1], Iterable[int]),
    ([1, 2], tuple[int, ...]), ([1, "a"], tuple[int, str]), ([1], set[int]), ([1], tuple), ([], list[int]),
    ([[1], [2]], list[list[int]]), ([1, 2], typing.List[int]), (["a"], list[int] | list[str]),
    ("abc", Sequence[str]), ("abc", Iterable[str]), ([1], collections.deque),
    ({"a": 1}, dict), ({"a": 1}, dict[str, int]), ({"a": 1}, Mapping[str, float]),
    ({"a": [1]}, dict[str, list[int]]),
    ({1: "a"}, dict[int, str]), ({"a": 1}, typing.Dict[str, int]), ({"a": 1}, collections.OrderedDict),
    ({"size": 1}, Options), ({"a": 1}, Iterable[str]), ([1, 2], Pair),
    ("red", Colour), ("RED", Colour), (1, Size), (1, Annotated[int, "positive"]), (3, typing.SupportsFloat),
    (Grid((Scalar(1), Scalar(2))), int), (Draws(1, 2, 3), int), (Draws(1, 2, 3), float),
    ("x", bytearray), ([1], memoryview), ("2020-01-01", datetime.date), (1, decimal.Decimal),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation"), FITS, ids=str)
def test_a_value_that_fits_is_let_through(value: Any, annotation: Any) -> None:
    built = Typed(int) if isinstance(value, Draws) else None
    assert misfits(value, annotation, built) == []


MISFITS = [
    ("two", int, "int", "'two' (str)", ""),
    ("2", int, "int", "'2' (str)", "remove the quotes"),
    ("1_000", float, "float", "'1_000' (str)", "write 1000"),
    ("two", Sequence[int], "Sequence[int]", "'two' (str)", ""),
    ("two", int | Sequence[float], "int or Sequence[float]", "'two' (str)", ""),
    (2.5, int, "int", "2.5 (float)", ""),
    (1e3, int, "int", "1000.0 (float)", "write 1000"),
    (float("inf"), int, "int", "inf (float)", ""),
    (True, int, "int", "true (bool)", ""),
    (False, float, "float", "false (bool)", ""),
    (1, bool, "bool", "1 (int)", ""),
    ("no", bool, "bool", "'no' (str)", "write false"),
    ("Yes", bool, "bool", "'Yes' (str)", "write true"),
    (1, str, "str", "1 (int)", "put it in quotes"),
    (None, int, "int", "null", ""),
    (1, None, "null", "1 (int)", ""),
    ("None", int | None, "int or null", "'None' (str)", "write null"),
    ("a", Optional[int], "int or null", "'a' (str)", ""),
    ("a", int | list[int], "int or list[int]", "'a' (str)", ""),
    ("lsmt", Literal["lstm", "gru"], "'lstm' or 'gru'", "'lsmt' (str)", "did you mean 'lstm'?"),
    (True, Literal[1, 2], "1 or 2", "true (bool)", ""),
    ("gren", Colour, "Colour ('RED' or 'BLUE')", "'gren' (str)", ""),
    ("blu", Colour, "Colour ('RED' or 'BLUE')", "'blu' (str)", "did you mean 'BLUE'?"),
    ([1], int, "int", "a list", ""),
    ({"a": 1}, int, "int", "a mapping", ""),
    ({"a": 1}, list[int], "list[int]", "a mapping", ""),
    ({"a": 1}, Sequence[int], "Sequence[int]", "a mapping", ""),
    ([1], dict[str, int], "dict[str, int]", "a list", ""),
    ("abc", list[str], "list[str]", "'abc' (str)", ""),
    ([1, 2, 3], tuple[int, int], "tuple[int, int]", "a list", ""),
    ("text", Plain, "Plain", "'text' (str)", "write an object with its !tag"),
    (None, Plain, "Plain", "null", "write an object with its !tag"),
    ({"a": 1}, Plain, "Plain", "a mapping", "write an object with its !tag"),
    ([1], Plain | None, "Plain or null", "a list", "write an object with its !tag"),
]


@pytest.mark.parametrize(("value", "annotation", "expected", "found", "hint"), MISFITS, ids=str)
def test_a_value_that_does_not_fit_is_named(
    value: Any, annotation: Any, expected: str, found: str, hint: str
) -> None:
    assert misfits(value, annotation) == [("", expected, found, hint)]


def test_items_are_judged_where_they_stand() -> None:
    assert misfits([1, "a", [2]], list[int]) == [
        ("[1]", "int", "'a' (str)", ""),
        ("[2]", "int", "a list", ""),
    ]
    assert misfits({"a": {"b": "c"}}, dict[str, dict[str, int]]) == [("a.b", "int", "'c' (str)", "")]
    assert misfits([1, 2], tuple[int, str]) == [("[1]", "str", "2 (int)", "put it in quotes")]


def test_keys_of_mappings_are_judged() -> None:
    assert misfits({1: 1}, dict[str, int]) == [("1", "str", "1 (int)", "put it in quotes")]


def test_each_option_is_judged_at_its_place() -> None:
    options = Grid((Scalar(1), Scalar("a"), Distribution("choice", (Scalar(2), Scalar(None)))))
    assert misfits(options, int) == [("", "int", "'a' (str)", ""), ("", "int", "null", "")]


BUILT_FITS = [
    (Typed(Child, exact=True), Plain), (Typed(Plain), Child), (Typed(Plain), Other), (Typed(), int),
    (Typed(Listlike, exact=True), Sequence[int]), (Typed(Listlike, exact=True), list[int]),
    (Typed(Numeric, exact=True), float), (Typed(Optional[int]), int), (Typed(int), float), (Typed(int), Any),
    (Typed(list), Sequence[int]), (Typed(tuple), list), (Typed(dict), Iterable[str]),
    (Typed(str), pathlib.Path),
    (Typed(Plain, exact=True), Callable[[], int]), (Typed(Plain, exact=True), HasSize), (Typed(str), Colour),
    (Typed(pathlib.PurePath), str), (Typed(T), int), (Typed(Literal["a"]), str), (Typed(str), Literal["a"]),
    (Typed(Sequence[int]), list[int]), (Typed(Sequence[int]), str), (Typed(object), int),
]  # fmt: skip


@pytest.mark.parametrize(("built", "annotation"), BUILT_FITS, ids=str)
def test_an_object_that_may_fit_is_let_through(built: Typed, annotation: Any) -> None:
    assert misfits(Build("X"), annotation, built) == []


BUILT_MISFITS = [
    (Typed(Other, exact=True), Plain, "Plain", "an Other"),
    (Typed(Plain, exact=True), Child, "Child", "a Plain"),
    (Typed(Plain, exact=True), int, "int", "a Plain"),
    (Typed(Numeric, exact=True), str, "str", "a Numeric"),
    (Typed(Plain, exact=True), int | None, "int or null", "a Plain"),
    (Typed(Plain, exact=True), list[int], "list[int]", "a Plain"),
    (Typed(Plain, exact=True), Literal["a"], "'a'", "a Plain"),
    (Typed(str), int, "int", "a str"),
    (Typed(bool), int, "int", "a bool"),
    (Typed(int), str, "str", "an int"),
    (Typed(int), Plain, "Plain", "an int"),
    (Typed(int), Literal["a"], "'a'", "an int"),
    (Typed(float, name="a float from !uniform"), int, "int", "a float from !uniform"),
    (Typed(dict), list, "list", "a dict"),
    (Typed(list), Mapping[str, int], "Mapping[str, int]", "a list"),
]


@pytest.mark.parametrize(("built", "annotation", "expected", "found"), BUILT_MISFITS, ids=str)
def test_an_object_of_a_wrong_class_is_named(
    built: Typed, annotation: Any, expected: str, found: str
) -> None:
    assert misfits(Build("X"), annotation, built) == [("", expected, found, "")]
