"""A variant: one way to settle every option of a stage and of the stages it links to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flambe.language.nodes import Node


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What one dimension is settled to. All variants that settle it so share one `Choice`, draws aside.

    Attributes:
        dimension: The number of the option node, the same for all places that share it.
        order: The place of the dimension in document order.
        path: The full config path, such as `pipeline.stage1.model.n_layers`.
        parts: The same path in parts, from which ids take the shortest telling suffix.
        node: The chosen option, or the drawn value. It may hold options that have choices of their own.
        text: The path and the value as they enter the hash of an id.
        label: The value as ids show it.
        drawn: Whether a distribution gave it.
    """

    dimension: int
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
