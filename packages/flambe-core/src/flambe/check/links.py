"""Where a link may point, and what it finds there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flambe.check.arguments import argument
from flambe.check.knowledge import Knowledge, NoStepError
from flambe.check.nearest import did_you_mean, listed
from flambe.check.types import show
from flambe.check.values import ANYTHING, Possible, Typed
from flambe.language import nodes
from flambe.language.links import Attribute, LinkPath, Step
from flambe.language.nodes import Entry, Link, Node
from flambe.language.walk import children

_MOST_POSSIBLE = 100


class BadLinkError(ValueError):
    """A link that cannot be followed."""


@dataclass(frozen=True, slots=True)
class Open:
    """A node under construction, and which of its parts is being looked at."""

    node: Node
    part: int


@dataclass
class Scope:
    """What a link may point to from where it stands.

    `stage` is the stage that is being checked, None outside the pipeline. `trail` leads from that
    stage's node down to the link, the nodes under construction.
    """

    knowledge: Knowledge
    stages: Mapping[str, Entry] = field(default_factory=dict)
    resources: Collection[str] = ()
    stage: str | None = None
    trail: list[Open] = field(default_factory=list)

    def find(self, link: Link) -> tuple[Possible, ...]:
        """What the path of `link` may lead to.

        Raises:
            BadLinkError: if it certainly cannot be followed.
        """
        for step in link.path.steps:
            if isinstance(step, Attribute) and step.name.startswith("__"):
                raise BadLinkError("names that start with two underscores cannot be linked")
        possible, taken = self._start(link)
        for index in range(taken, len(link.path.steps)):
            possible = self._step(link.path, index, possible)
        return possible

    def _start(self, link: Link) -> tuple[tuple[Possible, ...], int]:
        """What the root, and the steps through what is under construction, lead to."""
        root = link.path.root
        if self.stage is not None and root == self.stage:
            return self._within(link)
        if root in self.stages:
            return self._earlier(root)
        if root in self.resources:
            return (ANYTHING,), 0
        raise BadLinkError(self._unknown(root))

    def _earlier(self, root: str) -> tuple[tuple[Possible, ...], int]:
        names = list(self.stages)
        if self.stage is None:
            raise BadLinkError(f"{root!r} is a stage; outside the pipeline only resources can be linked")
        if names.index(root) > names.index(self.stage):
            at = _at(self.stages[root].position)
            raise BadLinkError(f"stage {root!r} comes later{at}; link to a stage above {self.stage!r}")
        return self.knowledge.possible(self.stages[root].value), 0

    def _unknown(self, root: str) -> str:
        names = list(self.stages)
        if self.stage is not None:
            names = names[: names.index(self.stage) + 1]
        elif self.stages:
            names = []
        names += self.resources
        says = f"no stage or resource is called {root!r}"
        hint = did_you_mean(root, names)
        if hint or not names:
            return says + hint
        return f"{says}; a link here can start at {listed(names)}"

    def _within(self, link: Link) -> tuple[tuple[Possible, ...], int]:
        """A link into its own stage: down the trail as far as it goes, then into what is already built."""
        taken = 0
        for level in self.trail:
            if isinstance(level.node, (nodes.Grid, nodes.Distribution)):
                continue  # the option that holds the link is the one that was chosen
            if taken == len(link.path.steps):
                break
            index = self._part(level.node, link.path.steps[taken])
            if index is None:
                self._refuse_missing(link.path, taken, level.node)
                raise BadLinkError(self._open_message(link.path, taken, level.node))
            taken += 1
            part = list(children(level.node))[index][1]
            if index < level.part:
                return self.knowledge.possible(part), taken
            if index > level.part:
                at, path = _at(part.position), LinkPath(link.path.root, link.path.steps[:taken])
                raise BadLinkError(f"{path} comes later{at}; link to something above")
            if part is link:
                raise BadLinkError("the link points to itself")
        raise self._open_end(link, taken)

    def _open_end(self, link: Link, taken: int) -> BadLinkError:
        """The trail ended: what the link points to is being built around it."""
        if taken == len(self._levels()):
            return BadLinkError("the link points to itself")
        return BadLinkError(self._open_message(link.path, taken, self._levels()[taken]))

    def _levels(self) -> Sequence[Node]:
        """The nodes under construction, without options: one for each step that a link can take."""
        held = nodes.Grid, nodes.Distribution
        return [level.node for level in self.trail if not isinstance(level.node, held)]

    def _part(self, node: Node, step: Step) -> int | None:
        """Which child of `node` a step leads to."""
        if isinstance(node, Link):
            return None
        key = _key(step)
        steps = [each for each, _ in children(node)]
        for index, each in enumerate(steps):
            if str(each) == str(key):
                return index
        if isinstance(node, nodes.Build):
            found = argument(node, self.knowledge.signature(node), key)
            return next((i for i, (_, child) in enumerate(children(node)) if child is found), None)
        return None

    def _refuse_missing(self, path: LinkPath, taken: int, node: Node) -> None:
        if isinstance(node, (nodes.Mapping, nodes.Sequence)):
            try:
                self.knowledge.take(Possible(node), path.steps[taken])
            except NoStepError as error:
                raise BadLinkError(f"{LinkPath(path.root, path.steps[:taken])}: {error}") from None

    def _open_message(self, path: LinkPath, taken: int, node: Node) -> str:
        held = LinkPath(path.root, path.steps[:taken])
        if taken == len(path.steps):
            return f"{held} is still under construction here{_began(node)}; link to one of its parts above"
        hint = did_you_mean(_key(path.steps[taken]), [step for step, _ in children(node)])
        says = f"{held} is still under construction here{_began(node)}"
        return f"{says} and has no part {_key(path.steps[taken])!r} yet{hint}"

    def _step(self, path: LinkPath, index: int, possible: tuple[Possible, ...]) -> tuple[Possible, ...]:
        found: list[Possible] = []
        for each in possible:
            found += self._one_step(path, index, each)
        return tuple(found[:_MOST_POSSIBLE])

    def _one_step(self, path: LinkPath, index: int, possible: Possible) -> tuple[Possible, ...]:
        try:
            if index == 0 and path.root != self.stage:
                self.knowledge.refuse_missing_attribute(possible, path.steps[0])
            return self.knowledge.take(possible, path.steps[index])
        except NoStepError as error:
            if possible.certain():
                raise BadLinkError(f"{LinkPath(path.root, path.steps[:index])}: {error}") from None
            return (ANYTHING,)

    def call(self, path: LinkPath, possible: tuple[Possible, ...]) -> tuple[Possible, ...]:
        """What calling what `path` leads to may give.

        Raises:
            BadLinkError: if it certainly cannot be called.
        """
        for each in possible:
            if not isinstance(each.value, Typed) and each.certain():
                raise BadLinkError(f"{path} is {show(each.value)}, which cannot be called")
        return tuple(self.knowledge.called(each) for each in possible)


def _at(position: nodes.Position | None) -> str:
    return f" ({position})" if position else ""


def _began(node: Node) -> str:
    return f" (it begins at {node.position})" if node.position else ""


def _key(step: Step) -> str | int:
    return step.name if isinstance(step, Attribute) else step.key
