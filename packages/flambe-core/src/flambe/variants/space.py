"""The variants of one stage: expanded from its nodes and the variants of the stages it links to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from flambe.language import nodes
from flambe.language.walk import walk
from flambe.variants.assignments import Draw, assignments
from flambe.variants.counting import Ways, count_ways
from flambe.variants.dimensions import Content, Dimension, Reader, is_option
from flambe.variants.draws import as_drawn
from flambe.variants.ids import Ids, Inherited
from flambe.variants.joins import Joins
from flambe.variants.variant import Choice, Variant, settle

COUNTED_AT_MOST = 1_000_000
"""How many variants are gone through only to count them."""


class StageSpace:
    """All variants of a stage: its own options × the joined variants of the stages it links to.

    Nothing is copied: a variant refers to the options it chose, and `resolve` shares every part of the
    stage's node that holds no option. An option node that stands at several places of the stage (a YAML
    alias) is one dimension: all its places get the same choice. In two stages it is two dimensions, as
    only links join stages.

    Args:
        stages: The names of the earlier stages in document order; links to these are upstream.
        seed: The experiment's seed.
        num_samples: How often distributions are drawn for each way to settle the grids.

    Example:
        >>> from flambe.language.nodes import Build, Entry, Grid, Mapping, Scalar
        >>> grid = Grid((Scalar(2), Scalar(3)))
        >>> node = Build("Trainer", Mapping((Entry("n_layers", grid),)))
        >>> space = StageSpace("train", node, stages=[], seed=1, num_samples=1)
        >>> [variant.id.partition("~")[0] for variant in space.expand({})]
        ['n_layers=2', 'n_layers=3']
    """

    def __init__(
        self, stage: str, node: nodes.Node, *, stages: Collection[str], seed: int, num_samples: int
    ) -> None:
        self.stage, self.node = stage, node
        self._draw = Draw(stage, seed, num_samples)
        self._content = Reader(stage, node, stages=stages, seed=seed).read()
        self._ids = Ids()
        self.dimensions: tuple[Dimension, ...] = tuple(self._content.every_dimension())
        linked = self._content.needs.union(
            *(content.needs for d in self.dimensions for content in d.contents)
        )
        self.needs: tuple[str, ...] = tuple(name for name in stages if name in linked)
        self._open = _holding_options(node)

    @property
    def always_needs(self) -> tuple[str, ...]:
        """The stages that every variant links to; the rest of `needs` are linked to inside options."""
        return self._in_order(self._content.needs)

    @cached_property
    def ways(self) -> Ways | None:
        """How many ways there are to settle the stage's own options, for each set of stages they link to.

        None where only going through them tells.
        """
        return count_ways(self._content, self._draw.num_samples)

    @cached_property
    def own_count(self) -> int:
        """How many ways there are to settle the stage's own options; counted up to a million at least."""
        if self.ways is not None:
            return sum(self.ways.values())
        return sum(1 for _ in islice(assignments(self._content, self._draw), COUNTED_AT_MOST))

    def expand(self, upstream: Mapping[str, Sequence[Variant]]) -> Iterator[Variant]:
        """Every variant, lazily: upstream variants outermost, own dimensions in document order, last fastest.

        Upstream variants that share an ancestor are only combined where they have the same variant of it.
        A stage that is linked to only inside options counts for the variants that chose such an option.
        `upstream` holds the variants of each of `needs`; what is already there is enough, as the id of a
        variant does not depend on the others.
        """
        joins = Joins(upstream)
        for lineage in joins.over(self.always_needs):
            around = _Surroundings(lineage, self.always_needs)
            for picks, needs in assignments(self._content, self._draw):
                if needs <= self._content.needs:
                    yield self._make(picks, around)
                    continue
                linked = self._in_order(needs | self._content.needs)
                for wider in joins.over(linked, lineage):
                    yield self._make(picks, _Surroundings(wider, linked))

    def variant(
        self, choices: Mapping[str, object], upstream: Mapping[str, Variant], *, occurrence: int | None = None
    ) -> Variant:
        """The variant with choices made elsewhere, such as by a search algorithm.

        Args:
            choices: By the dimension's `name`: the index of an option, or the number for a numeric
                distribution. Choices for dimensions that other choices leave out are ignored.
            upstream: The variant of each stage that the chosen options link to.
            occurrence: Tells apart the ids of equal choices that were suggested more than once.

        Raises:
            ValueError: A choice or an upstream variant is missing or does not fit.
        """
        picks: list[Choice] = []
        needs = self._content.needs
        pending, settled = list(self._content.dimensions), set[int]()
        while pending:
            dimension = pending.pop(0)
            if dimension.key in settled:
                continue
            settled.add(dimension.key)
            choice, content = _given(dimension, choices, occurrence)
            picks.append(choice)
            needs = needs | content.needs
            pending = [*content.dimensions, *pending]
        return self._make(tuple(picks), _Surroundings(_merged(upstream, needs), self._in_order(needs)))

    def resolve(self, variant: Variant) -> nodes.Node:
        """The stage's node with every option replaced by the variant's choice.

        Parts without options are the same objects as in the config, and parts that stand at several
        places are one object again.
        """
        return settle(self.node, variant.picks, self._open)

    def extended(self, samples: int) -> StageSpace:
        """The space with so many draws more; its variants hold those of this one, ids and all."""
        made = StageSpace.__new__(StageSpace)
        keep = {name: value for name, value in vars(self).items() if name not in ("ways", "own_count")}
        vars(made).update(keep)
        made._draw = replace(self._draw, num_samples=self._draw.num_samples + samples)
        return made

    def _in_order(self, needs: Collection[str]) -> tuple[str, ...]:
        return tuple(stage for stage in self.needs if stage in needs)

    def _make(self, picks: tuple[Choice, ...], around: _Surroundings) -> Variant:
        made = self._ids.make(picks, around.inherited)
        return Variant(self.stage, made, picks, around.upstream, around.lineage)


class _Surroundings:
    """What the variants that come from the same upstream variants share."""

    __slots__ = ("inherited", "lineage", "upstream")

    def __init__(self, lineage: Mapping[str, Variant], linked: Sequence[str]) -> None:
        self.lineage = lineage
        self.upstream = {stage: lineage[stage] for stage in linked}
        self.inherited = Inherited(lineage)


def _given(
    dimension: Dimension, choices: Mapping[str, object], occurrence: int | None
) -> tuple[Choice, Content]:
    if dimension.name not in choices:
        raise ValueError(f"no choice for {dimension.name}")
    value = choices[dimension.name]
    if isinstance(dimension.node, nodes.Distribution) and not dimension.choices:
        number = nodes.Scalar(as_drawn(dimension.node, value), position=dimension.node.position)
        return dimension.settled(number, occurrence), Content()
    option = value if isinstance(value, int) else int(str(value))
    if not 0 <= option < len(dimension.choices):
        raise ValueError(
            f"{dimension.name} has {len(dimension.choices)} options, there is no option {option}"
        )
    choice = dimension.chosen(option, None) if occurrence is None else dimension.repeated(option, occurrence)
    return choice, dimension.contents[option]


def _merged(upstream: Mapping[str, Variant], needs: Collection[str]) -> dict[str, Variant]:
    lineage: dict[str, Variant] = {}
    for stage in sorted(needs):
        if stage not in upstream:
            raise ValueError(f"no variant of {stage}, which the choices link to")
        for name, variant in [*upstream[stage].lineage.items(), (stage, upstream[stage])]:
            if lineage.setdefault(name, variant) != variant:
                raise ValueError(f"the upstream variants come from different variants of {name}")
    return lineage


def _holding_options(root: nodes.Node) -> frozenset[int]:
    """The ids of the nodes that are options or have one inside."""
    found: set[int] = set()
    above: list[nodes.Node] = []
    for path, node in walk(root):
        del above[len(path) :]
        above.append(node)
        if is_option(node):
            found.update(map(id, above))
    return frozenset(found)
