"""How many variants each stage of a plan has, enumerating as little as that takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from flambe.variants.joins import Joins
from flambe.variants.space import COUNTED_AT_MOST, StageSpace
from flambe.variants.variant import Variant


@dataclass(frozen=True)
class Count:
    """A number of variants: exactly `number`, or more than that."""

    number: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{'' if self.exact else 'more than '}{self.number:,}"

    def __mul__(self, other: Count) -> Count:
        return Count(self.number * other.number, self.exact and other.exact)

    def __add__(self, other: Count) -> Count:
        return Count(self.number + other.number, self.exact and other.exact)


@dataclass(frozen=True, slots=True)
class _Flow:
    """What flows out of a stage. `variants` is None where they are not known or too many to list."""

    count: Count | None
    variants: Sequence[Variant] | None
    always: frozenset[str]
    ever: frozenset[str]


class Counts:
    """Counts stage after stage; `limit` is the most that is ever enumerated."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flows: dict[str, _Flow] = {}

    def ancestors(self, space: StageSpace) -> tuple[str, ...]:
        """Every stage that `space` may depend on, in document order."""
        found = self._ever(space.needs)
        return tuple(stage for stage in self._flows if stage in found)

    def of(self, space: StageSpace, samples: int | None) -> Count | None:
        """How many variants the stage has, or how many its search samples; None where only the run tells."""
        if samples is not None:
            joined = self._joined(space.always_needs)
            return None if joined is None else Count(samples) * joined
        ways = self._ways(space)
        if ways is None:
            return self._enumerated(space)
        total = Count(0)
        for needs, count in ways.items():
            joined = self._joined([stage for stage in space.needs if stage in needs])
            if joined is None:
                return None
            total += count * joined
        return total

    def add(
        self, space: StageSpace, count: Count | None, keeps: int | None, variants: Sequence[Variant] | None
    ) -> None:
        """Take in a stage, of which `keeps` variants or all flow on."""
        if keeps is not None and (count is None or count.number >= keeps):
            count = Count(keeps)
        self._flows[space.stage] = _Flow(
            count, variants, self._always(space.always_needs), self._ever(space.needs)
        )

    def _always(self, needs: Collection[str]) -> frozenset[str]:
        return frozenset(needs).union(*(self._flows[stage].always for stage in needs))

    def _ever(self, needs: Collection[str]) -> frozenset[str]:
        return frozenset(needs).union(*(self._flows[stage].ever for stage in needs))

    def _ways(self, space: StageSpace) -> Mapping[frozenset[str], Count] | None:
        """The ways to settle the stage's own options, for each set of stages that they link to."""
        if space.ways is not None:
            return {needs: Count(number) for needs, number in space.ways.items()}
        if space.needs == space.always_needs:
            number = space.own_count
            return {frozenset(space.needs): Count(number, number < COUNTED_AT_MOST)}
        return None

    def _enumerated(self, space: StageSpace) -> Count | None:
        flows = self._listed(space.needs)
        if flows is None:
            return None
        return self._counted(sum(1 for _ in islice(space.expand(flows), self._limit + 1)))

    def _joined(self, needs: Collection[str]) -> Count | None:
        """How many ways there are to join what flows out of `needs`."""
        certain = frozenset[str]().union(*(self._flows[stage].always for stage in needs))
        deciding = [stage for stage in needs if stage not in certain]
        if len(deciding) < 2 or self._independent(deciding):
            return self._product(deciding)
        flows = self._listed(needs)
        if flows is None:
            return None
        return self._counted(sum(1 for _ in islice(Joins(flows).over(needs), self._limit + 1)))

    def _independent(self, stages: Collection[str]) -> bool:
        """Whether no two of the stages have an ancestor in common that comes in several variants."""
        around = [self._flows[stage].ever | {stage} for stage in stages]
        common = frozenset[str]().union(*(one & other for one, other in combinations(around, 2)))
        return all(self._flows[stage].count == Count(1) for stage in common)

    def _product(self, stages: Collection[str]) -> Count | None:
        product = Count(1)
        for stage in stages:
            count = self._flows[stage].count
            if count is None:
                return None
            product *= count
        return product

    def _listed(self, stages: Collection[str]) -> dict[str, Sequence[Variant]] | None:
        flows: dict[str, Sequence[Variant]] = {}
        for stage in stages:
            variants = self._flows[stage].variants
            if variants is None:
                return None
            flows[stage] = variants
        return flows

    def _counted(self, number: int) -> Count:
        return Count(number) if number <= self._limit else Count(self._limit, exact=False)
