"""A variant: one way to settle every option of a stage and of the stages it links to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flambe.language import nodes
from flambe.language.nodes import Node, Option
from flambe.language.walk import Path, rebuild
from flambe.variants.flow import one_line


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What one dimension is settled to. All variants that settle it so share one `Choice`, draws aside.

    Attributes:
        option: The option node that is settled, the same for all places that share it.
        order: The place of the dimension in document order.
        path: The full config path, such as `pipeline.stage1.model.n_layers`.
        parts: The same path in parts, from which ids take the shortest telling suffix.
        node: The chosen option, or the drawn value. It may hold options that have choices of their own.
        text: The path and the value as they enter the hash of an id.
        label: The value as ids show it.
        drawn: Whether a distribution gave it.
    """

    option: Option
    order: int
    path: str
    parts: tuple[str, ...]
    node: Node
    text: str
    label: str
    drawn: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Variant:
    """One variant of a stage. Equal to every other with its stage and id.

    It holds no config, only references: `StageSpace.resolve` makes its node. Variants of a stage that
    come from the same upstream variants share `upstream` and `lineage`.

    Attributes:
        picks: Its own choices in document order; a grid that is directly an option of a grid adds one more
            pick for the same path.
        upstream: The variants of the stages it links to directly, by stage.
        lineage: The variants of all its ancestors, by stage.
    """

    stage: str
    id: str
    picks: tuple[Choice, ...] = ()
    upstream: Mapping[str, Variant] = field(default_factory=dict)
    lineage: Mapping[str, Variant] = field(default_factory=dict)

    @property
    def choices(self) -> dict[str, Node]:
        """Its own choices by config path, in document order."""
        return {pick.path: pick.node for pick in self.picks}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Variant):
            return NotImplemented
        return self.id == other.id and self.stage == other.stage

    def __hash__(self) -> int:
        return hash((self.stage, self.id))

    def __repr__(self) -> str:
        return f"Variant({self.stage}/{self.id})"


def settle(node: Node, picks: Iterable[Choice], within: Collection[int] | None = None) -> Node:
    """`node` with every option inside it replaced by what `picks` chose.

    Parts without options stay the same objects, and a part that stands at several places is one object
    again. `within` holds the ids of the parts that have options, where that is known.
    """
    chosen = {id(pick.option): pick.node for pick in picks}
    made: dict[int, Node] = {}

    def change(part: Node, path: Path = ()) -> Node:
        if within is not None and id(part) not in within:
            return part
        if id(part) not in made:
            choice = chosen.get(id(part))
            made[id(part)] = rebuild(part, change) if choice is None else change(choice)
        return made[id(part)]

    return change(node)


def choice_values(variant: Variant) -> dict[str, Any]:
    """The variant's own choices by config path as JSON values, options inside them replaced too."""
    return {path: json_value(settle(node, variant.picks)) for path, node in variant.choices.items()}


def json_value(node: Node) -> Any:
    """Plain values as such, lists and mappings as JSON's, everything with a tag as its YAML on one line."""
    match node:
        case nodes.Scalar(value=float(value)) if not math.isfinite(value):
            return one_line(node)
        case nodes.Scalar(value=value):
            return value
        case nodes.Sequence(items=items):
            return [json_value(item) for item in items]
        case nodes.Mapping(entries=entries):
            return {str(entry.key): json_value(entry.value) for entry in entries}
    return one_line(node)
