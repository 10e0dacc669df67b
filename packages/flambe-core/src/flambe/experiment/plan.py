"""The plan of an experiment: its stages, what links them, and their variants as far as they are known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest
from typing import Any, TypeAlias

from flambe.experiment import plan_text
from flambe.experiment.plan_count import Count, Counts
from flambe.experiment.settings import search_samples
from flambe.language import nodes
from flambe.variants.lazy import Lazy
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant, choice_values

Statuses: TypeAlias = Mapping[tuple[str, str], str]
"""What a resume would do with a variant, by stage and id: a word such as `reused`."""

LIMIT = 1_000_000
"""More variants than this are never listed, and only counted where that takes no enumeration."""


@dataclass(frozen=True, eq=False)
class PlannedStage:
    """One stage of a plan.

    Attributes:
        count: Its variants; for a search, the samples in all. None where only the run tells.
        keeps: How many of its variants flow on, if it has a `reduce`.
        samples: How many variants its search tries for each upstream variant, if it has a search.
        variants: Its variants; empty where a search decides on them or there are too many.
        flowing: Those that later stages are planned with. After a `reduce` these are stand-ins: the ones that
            would win if all metrics tied, first by id.
        reduced: The ancestors of which fewer variants flow on than there are.
        after_search: The ancestors whose variants a search decides on.
        many: Whether there are too many to list.
        too_many: Whether this stage or an ancestor has too many to list.
    """

    name: str
    needs: tuple[str, ...]
    count: Count | None
    keeps: int | None
    samples: int | None
    variants: Lazy[Variant]
    flowing: Sequence[Variant]
    reduced: Mapping[str, PlannedStage]
    after_search: tuple[str, ...]
    many: bool
    too_many: bool

    @property
    def reduces(self) -> bool:
        """Whether fewer of its variants flow on than there are, as far as that is known."""
        return self.keeps is not None and (self.count is None or self.count.number > self.keeps)

    @cached_property
    def assumes(self) -> dict[str, list[str]]:
        """For each reduced ancestor the ids of its stand-ins, from which this stage's variants come."""
        if not self.variants:
            return {}
        return {name: [variant.id for variant in stage.flowing] for name, stage in self.reduced.items()}

    def json(self, statuses: Statuses) -> dict[str, Any]:
        """The stage as JSON values; `variants` comes last."""
        made: dict[str, Any] = {"name": self.name, "needs": list(self.needs)}
        if self.samples is not None:
            made["samples"] = self.samples
        if self.after_search:
            made["after_search"] = list(self.after_search)
        if self.assumes:
            made["assumes"] = self.assumes
        if self.too_many and self.count is not None:
            made["count" if self.count.exact else "more_than"] = self.count.number
        made["variants"] = [_variant_json(variant, statuses) for variant in self.variants]
        return made


@dataclass(frozen=True)
class Plan:
    """What an experiment would run.

    Example:
        >>> from flambe.language.nodes import Grid, Scalar
        >>> print(Plan.of({"number": Grid((Scalar(1), Scalar(2)))}, seed=0).text(), end="")
        number: 2 variants
          number=1~6b02b9
          number=2~93f139
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
        winners: Mapping[str, Collection[str]] | None = None,
        limit: int | None = None,
    ) -> Plan:
        """The plan of a pipeline. Variants are only made once something asks for them.

        Args:
            stages: The nodes of the pipeline's stages, in document order.
            seed: The experiment's seed.
            num_samples: Draws of distributions for each way to settle the grids, for all stages or by stage.
            reduce: How many variants of a stage flow on.
            search: The search algorithm of a stage.
            winners: The ids that flow on after a `reduce`, where an earlier run settled it.
            limit: The most variants to enumerate for one stage; `LIMIT` unless given.
        """
        planner = _Planner(reduce or {}, search or {}, winners or {}, LIMIT if limit is None else limit)
        for name, node in stages.items():
            samples = num_samples if isinstance(num_samples, int) else num_samples.get(name, 1)
            space = StageSpace(name, node, stages=tuple(planner.made), seed=seed, num_samples=samples)
            planner.add(space, samples)
        return cls(planner.made)

    def json(self, statuses: Statuses | None = None) -> dict[str, Any]:
        """`{"stages": [{"name", "needs", "variants": [{"id", "choices", "upstream"}]}]}`.

        A stage also has `assumes` where an ancestor is reduced (the ids that its variants stand in for),
        `samples` or `after_search` instead of variants where a search decides on them, `count` or
        `more_than` instead where there are too many; a variant has a `status` where `statuses` has one.
        """
        return {"stages": [stage.json(statuses or {}) for stage in self.stages.values()]}

    def text(self, statuses: Statuses | None = None, *, verbose: bool = False) -> str:
        """The plan for people; long lists of variants are cut short unless `verbose`."""
        return plan_text.text(self.stages.values(), statuses or {}, verbose=verbose)

    def mermaid(self) -> str:
        """The plan as a Mermaid flowchart."""
        return plan_text.mermaid(self.stages.values())


class _Planner:
    """Plans one stage after the other."""

    def __init__(
        self,
        reduce: Mapping[str, int],
        search: Mapping[str, nodes.Node],
        winners: Mapping[str, Collection[str]],
        limit: int,
    ) -> None:
        self._reduce, self._search, self._winners, self._limit = reduce, search, winners, limit
        self._counts = Counts(limit)
        self.made: dict[str, PlannedStage] = {}

    def add(self, space: StageSpace, num_samples: int) -> None:
        name, keeps = space.stage, self._reduce.get(space.stage)
        samples = search_samples(self._search[name], otherwise=num_samples) if name in self._search else None
        earlier = [self.made[ancestor] for ancestor in self._counts.ancestors(space)]
        after_search = tuple(stage.name for stage in earlier if stage.samples is not None)
        count = self._counts.of(space, samples)
        many = count is not None and (count.number > self._limit or not count.exact)
        too_many = many or any(stage.too_many for stage in earlier)
        listed = samples is None and not after_search and not too_many
        upstream = {need: self.made[need].flowing for need in space.needs}
        variants = Lazy(lambda: space.expand(upstream) if listed else ())
        self.made[name] = PlannedStage(
            name=name,
            needs=space.needs,
            count=count,
            keeps=keeps,
            samples=samples,
            variants=variants,
            flowing=variants if keeps is None else Lazy(lambda: self._flowing(name, keeps, variants)),
            reduced={
                stage.name: stage for stage in earlier if stage.reduces and stage.name not in self._winners
            },
            after_search=after_search,
            many=many,
            too_many=too_many,
        )
        self._counts.add(space, count, keeps, self.made[name].flowing if listed else None)

    def _flowing(self, stage: str, keeps: int, variants: Sequence[Variant]) -> list[Variant]:
        if stage in self._winners:
            return [variant for variant in variants if variant.id in self._winners[stage]]
        return nsmallest(keeps, variants, key=_id)


def _variant_json(variant: Variant, statuses: Statuses) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": variant.id,
        "choices": choice_values(variant),
        "upstream": {stage: upstream.id for stage, upstream in variant.upstream.items()},
    }
    status = statuses.get((variant.stage, variant.id))
    return made if status is None else {**made, "status": status}


def _id(variant: Variant) -> str:
    return variant.id
