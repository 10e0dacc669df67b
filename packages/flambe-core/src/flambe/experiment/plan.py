"""The plan of an experiment: its stages, what links them, and their variants as far as they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from itertools import combinations, islice
from typing import Any, TypeAlias, overload

from flambe.experiment import plan_text
from flambe.language import nodes
from flambe.variants.joins import Joins
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant, choice_values

Statuses: TypeAlias = Mapping[tuple[str, str], str]
"""What a resume would do with a variant, by stage and id: such as `reused`, `continued`, `new`."""

LIMIT = 1_000_000
"""More variants than this are counted where that needs no enumeration, and never listed."""


@dataclass(frozen=True)
class Count:
    """A number of variants: exactly `number`, or more than that many."""

    number: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{'' if self.exact else 'more than '}{self.number:,}"


class Lazy(Sequence[Variant]):
    """Variants that are made when they are first looked at, and kept."""

    def __init__(self, make: Callable[[], Iterable[Variant]]) -> None:
        self._make = make
        self._made: list[Variant] = []

    def __iter__(self) -> Iterator[Variant]:
        at = 0
        while self._reach(at + 1):
            yield self._made[at]
            at += 1

    def __len__(self) -> int:
        self._made.extend(self._rest)
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Variant: ...
    @overload
    def __getitem__(self, index: slice) -> list[Variant]: ...
    def __getitem__(self, index: int | slice) -> Variant | list[Variant]:
        stop = index.stop if isinstance(index, slice) else index + 1
        if stop is None or stop < 1:
            len(self)
        else:
            self._reach(stop)
        return self._made[index]

    @cached_property
    def _rest(self) -> Iterator[Variant]:
        return iter(self._make())

    def _reach(self, count: int) -> bool:
        self._made.extend(islice(self._rest, max(0, count - len(self._made))))
        return len(self._made) >= count


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan.

    Attributes:
        keeps: How many of its variants flow on, if it has a `reduce`.
        samples: How many variants its search tries for each upstream variant, if it has a search.
        count: Its variants; None where only the run tells.
        variants: They themselves, empty where a search decides on them or there are too many.
        flowing: The variants that later stages are planned with: stand-ins, first by id, after a `reduce`.
        assumes: For each ancestor with a `reduce`, the ids of the stand-ins.
        after_search: The ancestors whose variants a search will decide on.
    """

    name: str
    space: StageSpace
    keeps: int | None
    samples: int | None
    count: Count | None
    variants: Lazy
    flowing: Lazy
    flow_count: Count | None
    assumes: Mapping[str, Lazy] = field(default_factory=dict)
    after_search: tuple[str, ...] = ()

    @property
    def reduces(self) -> bool:
        """Whether fewer variants flow on than there are, as far as that is known."""
        return self.keeps is not None and (self.count is None or self.count.number > self.keeps)

    def json(self, statuses: Statuses) -> dict[str, Any]:
        made: dict[str, Any] = {"name": self.name, "needs": list(self.space.needs)}
        if self.samples is not None:
            made["samples"] = self.samples
        if self.after_search:
            made["after_search"] = list(self.after_search)
        if self.assumes:
            made["assumes"] = {name: [v.id for v in standing] for name, standing in self.assumes.items()}
        if self.count is not None and (not self.count.exact or self.count.number > LIMIT):
            made["count" if self.count.exact else "more_than"] = self.count.number
        made["variants"] = [_variant_json(variant, statuses) for variant in self.variants]
        return made


@dataclass(frozen=True)
class Plan:
    """What an experiment would run.

    Example:
        >>> from flambe.language.nodes import Grid, Scalar
        >>> plan = Plan.of({"number": Grid((Scalar(1), Scalar(2)))}, seed=0)
        >>> plan.stages["number"].count
        Count(number=2, exact=True)
    """

    stages: Mapping[str, PlannedStage]

    @classmethod
    def of(
        cls,
        stages: Mapping[str, nodes.Node],
        *,
        seed: int,
        num_samples: int | Mapping[str, int] = 1,
        reduce: Mapping[str, int] | None = None,
        search: Mapping[str, nodes.Node] | None = None,
        limit: int | None = None,
    ) -> Plan:
        """The plan of a pipeline. Variants are only made once something asks for them.

        Args:
            num_samples: Draws of distributions for each way to settle the grids, for all stages or by stage.
            limit: The most variants to enumerate for one stage; `LIMIT` unless given.
        """
        planner = _Planner(reduce or {}, search or {}, LIMIT if limit is None else limit)
        for name, node in stages.items():
            samples = num_samples if isinstance(num_samples, int) else num_samples.get(name, 1)
            planner.add(StageSpace(name, node, stages=list(planner.made), seed=seed, num_samples=samples), samples)
        return cls(planner.made)

    def json(self, statuses: Statuses | None = None) -> dict[str, Any]:
        """The plan as JSON values: for each stage its name, what it needs and its variants."""
        return {"stages": [stage.json(statuses or {}) for stage in self.stages.values()]}

    def text(self, statuses: Statuses | None = None, *, verbose: bool = False) -> str:
        """The plan for people: long lists of variants are cut short unless `verbose`."""
        return plan_text.text(self.stages.values(), statuses or {}, verbose=verbose)

    def mermaid(self) -> str:
        """The plan as a Mermaid graph."""
        return plan_text.mermaid(self.stages.values())


class _Planner:
    """Adds one stage after the other."""

    def __init__(self, reduce: Mapping[str, int], search: Mapping[str, nodes.Node], limit: int) -> None:
        self._reduce, self._search, self._limit = reduce, search, limit
        self.made: dict[str, PlannedStage] = {}

    def add(self, space: StageSpace, num_samples: int) -> None:
        name = space.stage
        keeps = self._reduce.get(name)
        samples = _samples(self._search[name], num_samples) if name in self._search else None
        ancestors = self._ancestors(space)
        after_search = tuple(a for a in ancestors if self.made[a].samples is not None)
        count = self._count(space) if samples is None else self._search_count(space, samples)
        listed = samples is None and not after_search and self._can_list(count)
        upstream = {need: self.made[need].flowing for need in space.needs}
        variants = Lazy(lambda: space.expand(upstream) if listed else ())
        self.made[name] = PlannedStage(
            name=name,
            space=space,
            keeps=keeps,
            samples=samples,
            count=count,
            variants=variants,
            flowing=variants if keeps is None else Lazy(lambda: nsmallest(keeps, variants, key=_id)),
            flow_count=count if keeps is None else _least(count, keeps),
            assumes={a: self.made[a].flowing for a in ancestors if self.made[a].reduces and self.made[a].variants},
            after_search=after_search,
        )
