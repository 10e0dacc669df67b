"""The options of a stage, read once: which dimensions there are, and what each option opens up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from flambe.language import nodes
from flambe.language.walk import OptionStep, Path, children, format_path, walk
from flambe.variants.draws import spread
from flambe.variants.ids import canonical, label, name_parts, occurrences
from flambe.variants.variant import Choice


@dataclass(frozen=True, slots=True)
class Condition:
    """A dimension is only there where the dimension named `dimension` takes its option `option`."""

    dimension: str
    option: int


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One place where an option stands.

    Attributes:
        name: Unique in the stage: the config path, with `<i>` for each step into an option `i`.
        path: The config path, as choices name it. Dimensions that exclude each other may share it, and so
            do an option and one that it is directly.
        node: What stands there: `Grid`, `Draws` or `Distribution`.
        conditions: What must be chosen for it to be there, outermost first.
        choices: One for each option; none for a numeric distribution.
        contents: What each choice opens up.
        key: The number of the option node; places that share the node have one number and get one choice.
        shared: Whether there are such places.
        order: Its place in document order.
    """

    name: str
    path: str
    node: nodes.Option
    conditions: tuple[Condition, ...]
    choices: tuple[Choice, ...]
    contents: tuple[Content, ...]
    key: int
    shared: bool
    order: int
    parts: tuple[str, ...]

    def settled(self, node: nodes.Scalar, sample: int | None) -> Choice:
        """The choice of a number for a numeric distribution."""
        text = _text(self.path, canonical(node), sample)
        return Choice(self.node, self.order, self.path, self.parts, node, text, label(node), drawn=True)

    def chosen(self, option: int, sample: int | None) -> Choice:
        """The choice of an option; for `choice` as the given sample drew it."""
        if not isinstance(self.node, nodes.Distribution) or sample is None:
            return self.choices[option]
        return self.repeated(option, sample)

    def repeated(self, option: int, sample: int) -> Choice:
        """The choice of an option, told apart from its being chosen in another sample."""
        choice = self.choices[option]
        text = f"{choice.text[:-1]}@{sample}\n"
        return Choice(
            self.node, self.order, self.path, self.parts, choice.node, text, choice.label, drawn=True
        )


@dataclass(frozen=True, slots=True)
class Content:
    """What is always there in a stage or an option: its dimensions, and the stages it links to."""

    dimensions: tuple[Dimension, ...] = ()
    needs: frozenset[str] = frozenset()

    def every_dimension(self) -> Iterator[Dimension]:
        """All dimensions, those inside options included, in document order."""
        for dimension in self.dimensions:
            yield dimension
            for content in dimension.contents:
                yield from content.every_dimension()


class Reader:
    """Finds the dimensions of one stage."""

    def __init__(self, stage: str, node: nodes.Node, *, stages: Collection[str], seed: int) -> None:
        self._stage, self._node, self._seed = stage, node, seed
        self._stages = frozenset(stages)
        self._places = Counter(id(inside) for _, inside in walk(node) if is_option(inside))
        self._keys: dict[int, int] = {}
        self._options: dict[int, tuple[nodes.Node, ...]] = {}
        self._texts: dict[str, tuple[str | int, ...]] = {}
        self._order = 0

    def read(self) -> Content:
        return self._content(self._node, ("pipeline", self._stage), ())

    def _content(self, node: nodes.Node, path: Path, conditions: tuple[Condition, ...]) -> Content:
        dimensions: list[Dimension] = []
        needs: set[str] = set()
        pending: list[tuple[Path, nodes.Node]] = [(path, node)]
        while pending:
            at, inside = pending.pop()
            if isinstance(inside, (nodes.Grid, nodes.Draws, nodes.Distribution)):
                dimensions.append(self._dimension(inside, at, conditions))
                continue
            if isinstance(inside, nodes.Link) and inside.path.root in self._stages:
                needs.add(inside.path.root)
            pending.extend([((*at, step), child) for step, child in children(inside)][::-1])
        return Content(tuple(dimensions), frozenset(needs))

    def _dimension(self, node: nodes.Option, path: Path, conditions: tuple[Condition, ...]) -> Dimension:
        key = self._keys.setdefault(id(node), len(self._keys))
        name, text, order = _name(path), self._path_text(path), self._order
        self._order += 1
        if id(node) not in self._options:
            self._options[id(node)] = self._options_of(node, name)
        options, parts = self._options[id(node)], name_parts(path)
        return Dimension(
            name=name,
            path=text,
            node=node,
            conditions=conditions,
            choices=tuple(
                Choice(node, order, text, parts, option, _text(text, value), label(option))
                for option, value in zip(options, occurrences(options), strict=True)
            ),
            contents=tuple(
                self._content(option, (*path, OptionStep(i)), (*conditions, Condition(name, i)))
                for i, option in enumerate(options)
            ),
            key=key,
            shared=self._places[id(node)] > 1,
            order=order,
            parts=parts,
        )

    def _options_of(self, node: nodes.Option, name: str) -> tuple[nodes.Node, ...]:
        match node:
            case nodes.Grid(options=options):
                return options
            case nodes.Draws():
                values = spread(node, self._seed, self._stage, name)
                return tuple(nodes.Scalar(value, position=node.position) for value in values)
            case nodes.Distribution(name="choice", arguments=options):
                return options
        return ()

    def _path_text(self, path: Path) -> str:
        """The config path; told apart where two places are written alike (a key with a dot in it)."""
        place = tuple(step for step in path if not isinstance(step, OptionStep))
        text = format_path(path)
        while self._texts.setdefault(text, place) != place:
            text += "'"
        return text


def is_option(node: nodes.Node) -> bool:
    return isinstance(node, (nodes.Grid, nodes.Draws, nodes.Distribution))


def _name(path: Path) -> str:
    text = ""
    for step in path:
        if isinstance(step, OptionStep):
            text += f"<{step.index}>"
        elif isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def _text(path: str, value: str, sample: int | None = None) -> str:
    return f"{path}={value}\n" if sample is None else f"{path}={value}@{sample}\n"
