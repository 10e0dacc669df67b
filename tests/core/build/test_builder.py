"""Nodes to objects: order, sharing, links, and what is said when something fails."""

import collections
import traceback
from typing import Any

import pytest

from flambe.build.builder import Builder, Surroundings
from flambe.build.links import follow
from flambe.component import Component, origin_of
from flambe.errors import FlambeError, LinkError
from flambe.language.links import parse_link
from flambe.language.read import read_text
from flambe.registry.registry import Registry

HERE = "tests_parts"


class Part(Component):
    def __init__(self, size: int = 1, child: Any = None, *, name: str = "part") -> None:
        self.double = 2 * size
        self.child = child
        self.name = name

    def doubled(self, times: int = 1) -> int:
        return self.double * times

    @property
    def broken(self) -> int:
        raise AttributeError("inside the property")

    @classmethod
    def of_size(cls, size: int) -> "Part":
        return cls(size)


def refuse(size: int) -> None:
    raise OSError(f"no room for {size}")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch):
    import sys
    import types

    module = types.ModuleType(HERE)
    for value in (Part, refuse):
        setattr(module, value.__name__, value)
        monkeypatch.setattr(value, "__module__", HERE)
    monkeypatch.setitem(sys.modules, HERE, module)

    def build(text: str, outside: dict[str, Any] | None = None, **surroundings: Any) -> Any:
        document = read_text(f"my: {HERE}\n---\ns: {text}")
        assert not document.problems
        registry = Registry.load(entry_points=False).with_header(document.header)
        builder = Builder(
            registry,
            stage="s",
            outside=lambda path: follow((outside or {})[path.root], path),
            surroundings=Surroundings(**surroundings),
        )
        return builder.build(document.root.get("s"))

    return build


def test_mappings_lists_and_scalars_are_themselves(build) -> None:
    assert build("{a: [1, 2.5, yes, null], 3: true}") == {"a": [1, 2.5, "yes", None], 3: True}


@pytest.mark.parametrize(
    "text", ["!my.Part {size: 4}", "!my.Part [4]", "!my.Part 4", "!my.Part.of_size {size: 4}"]
)
def test_arguments_by_name_by_place_and_alone(build, text: str) -> None:
    assert build(text).double == 8


def test_a_tag_with_nothing_behind_it_takes_no_arguments(build) -> None:
    assert build("!my.Part").double == 2


def test_a_link_within_the_stage_gives_the_object_itself(build) -> None:
    made = build("{first: !my.Part {size: 2}, second: !@ s.first, third: !my.Part {child: !@ s.first}}")
    assert made["second"] is made["first"]
    assert made["third"].child is made["first"]


def test_an_alias_gives_the_object_itself(build) -> None:
    made = build("[&p !my.Part {size: 2}, *p]")
    assert made[0] is made[1]


def test_attributes_items_and_arguments_can_be_linked(build) -> None:
    made = build(
        """
  part: !my.Part {size: 3, child: {numbers: [5, 6]}}
  attribute: !@ s.part.double
  argument: !@ s.part.size
  bracket: !@ s.part[size]
  default: !@ s[part][name]
  deep: !@ s.part.child.numbers[-1]
  index: !@ s.part.child.numbers.0
"""
    )
    del made["part"]
    assert made == {
        "attribute": 6,
        "argument": 3,
        "bracket": 3,
        "default": "part",
        "deep": 6,
        "index": 5,
    }


def test_brackets_never_look_at_attributes(build) -> None:
    with pytest.raises(LinkError) as raised:
        build("{part: !my.Part {size: 3}, wrong: !@ 's.part[double]'}")
    assert str(raised.value) == "s.part[double]: s.part is a Part without item or argument 'double'"


def test_parts_of_what_is_under_construction_can_be_linked(build) -> None:
    made = build("!my.Part {child: [!my.Part {size: 5}, !@ 's.child[0].double']}")
    assert made.child[1] == 10


def test_positional_arguments_can_be_linked_by_name(build) -> None:
    assert build("!my.Part [7, !@ s.size]").child == 7


def test_a_link_to_what_is_not_built_yet_is_an_error(build) -> None:
    with pytest.raises(LinkError, match="'second' is not built yet; link only to what stands above"):
        build("{first: !@ s.second, second: 1}")
    with pytest.raises(LinkError, match="still under construction"):
        build("!my.Part {child: !my.Part {child: !@ s.child}}")


def test_a_call_calls_with_its_arguments(build) -> None:
    text = "{p: !my.Part {size: 2}, a: !call s.p.doubled, b: !call {target: s.p.doubled, kwargs: {times: 3}}}"
    made = build(text)
    assert (made["a"], made["b"]) == (4, 12)


def test_links_to_other_stages_go_outside(build) -> None:
    assert build("!@ data.rows[1]", {"data": {"rows": [10, 20]}}) == 20


def test_a_wrong_step_names_the_nearest(build) -> None:
    with pytest.raises(LinkError) as raised:
        build("!@ data.rwos", {"data": {"rows": 1}})
    assert (
        str(raised.value)
        == "data.rwos: data is a dict without item, attribute or argument 'rwos'; did you mean 'rows'?"
    )


def test_an_attribute_error_inside_a_property_is_not_hidden(build) -> None:
    with pytest.raises(AttributeError, match="inside the property"):
        build("!@ data.broken", {"data": Part()})


def test_names_with_two_underscores_cannot_be_linked(build) -> None:
    with pytest.raises(LinkError, match="cannot be linked"):
        build("!@ data.__class__.__init__", {"data": Part()})


def test_a_constructor_error_keeps_its_type_and_gains_the_path(build) -> None:
    with pytest.raises(OSError, match="no room for 3") as raised:
        build("{deep: [!my.refuse {size: 3}]}")
    story = "".join(traceback.format_exception(raised.value)) + "".join(raised.value.__notes__)
    assert "while building pipeline.s.deep[0] (<config>:3:12)" in story


def test_what_was_built_knows_its_config_and_live_arguments(build) -> None:
    made = build(
        "!my.Part {size: 2, child: !my.Part {size: 3}, name: !@ other.name}", {"other": {"name": "n"}}
    )
    origin = origin_of(made)
    assert origin is not None
    assert origin.arguments["child"] is made.child
    assert origin.arguments["name"] == "n"
    assert str(origin.node.arguments.get("name").path) == "other.name"
    assert str(origin_of(made.child).path) == "s.child"


def test_classes_of_other_packages_are_built_too(build) -> None:
    assert build("!collections:Counter [[a, b, a]]") == collections.Counter(a=2, b=1)


def test_environment_and_secrets_are_text_that_hides_itself(build) -> None:
    made = build(
        "[!env PLACE, !secret door.word]",
        environment={"PLACE": "here"},
        secrets={"door": {"word": "sesame"}},
    )
    assert made == ["here", "sesame"]
    assert repr(made) == "['***', '***']"


@pytest.mark.parametrize("text", ["!env NOWHERE_TO_BE_FOUND", "!secret no.thing"])
def test_what_is_missing_outside_is_named_with_its_path(build, text: str) -> None:
    with pytest.raises(FlambeError, match=r"pipeline\.s\[0\]: "):
        build(f"[{text}]")


def test_links_that_cannot_be_parsed_say_where() -> None:
    assert str(parse_link("a.b[0][x y].c")) == "a.b[0][x y].c"
