from __future__ import annotations

import pytest

from flambe.errors import UnknownTagError
from flambe.registry.describe import describe
from flambe.registry.registry import Registry

WEATHER = '''
    from flambe.component import Component

    class Rain(Component):
        """Water that falls,
        drop by drop.

        More than anybody wants to know.
        """

        def __init__(self, amount: int, kind: str = "fine", *drops, name=None, **more: float) -> None: ...

        @classmethod
        def heavy(cls, amount: "int | None" = None):
            """A lot."""

    class Sun(Component): ...

    class Shower(Component, dict):
        pass

    class Base:
        def __init__(self, depth: int): ...

    class Puddle(Component, Base): ...

    def forecast(days: list[int], /, *, unit="C"): ...
'''


@pytest.fixture
def registry(make_module) -> Registry:
    return Registry.load(entry_points=False).with_aliases({"w": make_module("weather", WEATHER)})


def test_class_is_described_as_text(registry: Registry):
    assert describe(registry, "!w.Rain").text() == (
        "!w.Rain  (class of weather, from weather)\n"
        "  Water that falls,\n"
        "  drop by drop.\n"
        "arguments:\n"
        "  amount: int\n"
        "  kind: str = 'fine'\n"
        "  *drops\n"
        "  name = None\n"
        "  **more: float\n"
        "factories:\n"
        "  !w.Rain.heavy"
    )


def test_a_class_without_a_word_of_its_own_says_nothing(registry: Registry):
    assert describe(registry, "w.Sun").documentation == ""


def test_required_arguments_are_marked(registry: Registry):
    arguments = describe(registry, "w.Rain").arguments
    assert arguments is not None
    assert [argument.name for argument in arguments if argument.required] == ["amount"]


def test_factory_is_described_by_its_own_arguments(registry: Registry):
    assert describe(registry, "w.Rain.heavy").text() == (
        "!w.Rain.heavy  (factory of weather, from weather)\n  A lot.\narguments:\n  amount: int | None = None"
    )


def test_function_is_described(registry: Registry):
    assert describe(registry, "w.forecast").text() == (
        "!w.forecast  (function of weather, from weather)\narguments:\n  days: list[int]\n  unit = 'C'"
    )


def test_component_takes_what_its_own_or_inherited_constructor_takes(registry: Registry):
    def names(tag: str) -> list[str]:
        return [argument.name for argument in describe(registry, tag).arguments or ()]

    assert names("w.Sun") == []
    assert names("w.Puddle") == ["depth"]


def test_constructor_written_in_c_may_not_say_what_it_takes(registry: Registry):
    assert (
        "not known: it is written in C and does not say"
        in describe(registry, "collections:OrderedDict").text()
    )


def test_unknown_tag_is_named(registry: Registry):
    with pytest.raises(UnknownTagError, match=r"did you mean 'w\.Rain'"):
        describe(registry, "w.Rian")
