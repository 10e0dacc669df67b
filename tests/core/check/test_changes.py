"""New values for a running stage are judged like those of a config."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pytest

from flambe.check.changes import faults_of_change
from flambe.language.python import to_node
from flambe.registry.registry import Registry
from flambe.trials.changing import changed


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Painter:
    def __init__(
        self,
        width: float = 1.0,
        colour: Colour = Colour.RED,
        mode: Literal["wet", "dry"] = "wet",
        sizes: list[int] | None = None,
        helper: Painter | None = None,
        anything: Any = None,
        **more: Any,
    ) -> None: ...


TEXT = "!{0}:Painter {{width: 2.0, sizes: [1, 2], helper: !{0}:Painter {{width: wide}}}}"


def faults(changes: dict[str, Any], before: dict[str, Any] | None = None) -> list[str]:
    from flambe.language.read import read_text

    registry = Registry.load(entry_points=False)
    node = changed(read_text(TEXT.format(__name__), "a.yaml").root, before or {}, registry)
    return faults_of_change(node, changed(node, changes, registry), registry)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"width": 3}, []),
        ({"width": 1e-3, "mode": "dry", "colour": "blue", "sizes": None, "other": "x"}, []),
        ({"anything": "x", "helper.width": 1}, []),
        ({"width": "abc"}, ["Painter: 'width' must be float, not 'abc' (str)"]),
        ({"width": None}, ["Painter: 'width' must be float, not null"]),
        ({"width": "0.1"}, ["Painter: 'width' must be float, not '0.1' (str); remove the quotes"]),
        (
            {"mode": "drry"},
            ["Painter: 'mode' must be 'wet' or 'dry', not 'drry' (str); did you mean 'dry'?"],
        ),
        (
            {"colour": "green"},
            ["Painter: 'colour' must be Colour ('RED' or 'BLUE'), not 'green' (str)"],
        ),
        ({"sizes[1]": 2.5}, ["Painter: 'sizes[1]' must be int, not 2.5 (float)"]),
        ({"helper.mode": 3}, ["Painter: 'mode' must be 'wet' or 'dry', not 3 (int)"]),
    ],
)
def test_values_are_judged_by_the_annotations(changes: dict[str, Any], found: list[str]) -> None:
    assert faults(changes) == found


def test_what_was_wrong_before_is_not_told_again() -> None:
    assert faults({"width": 2.5}, before={"mode": "damp"}) == []


def test_each_option_is_judged() -> None:
    from flambe.language import nodes

    options = nodes.Grid((to_node(1.5), to_node("x"), to_node([1])))
    assert faults({"width": options}) == [
        "Painter: 'width' must be float, not 'x' (str)",
        "Painter: 'width' must be float, not a list",
    ]
