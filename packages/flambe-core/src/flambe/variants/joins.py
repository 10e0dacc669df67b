"""Which variants of several stages belong together: those that agree on every ancestor they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from flambe.variants.variant import Variant

Lineage: TypeAlias = dict[str, Variant]
"""A stage and all its ancestors, each with its variant."""


class Joins:
    """Natural joins of the variants of stages, on the ancestors that they share.

    Variants are taken in their order. The first stage of a join is read lazily, the others are indexed.
    """

    def __init__(self, upstream: Mapping[str, Sequence[Variant]]) -> None:
        self._upstream = upstream
        self._signatures: dict[str, dict[tuple[str, ...], list[tuple[int, Variant]]]] = {}
        self._indices: dict[tuple[str, tuple[str, ...], tuple[str, ...]], _Index] = {}

    def over(self, stages: Iterable[str], start: Mapping[str, Variant] | None = None) -> Iterator[Lineage]:
        """Every way to take one variant of each stage that agrees with the others and with `start`."""
        return self._extend(dict(start or {}), self._descendants_first(tuple(stages)))

    def _extend(self, lineage: Lineage, stages: tuple[str, ...]) -> Iterator[Lineage]:
        if not stages:
            yield lineage
            return
        for variant in self._matching(stages[0], lineage):
            yield from self._extend({**lineage, **variant.lineage, stages[0]: variant}, stages[1:])

    def _matching(self, stage: str, lineage: Lineage) -> Iterable[Variant]:
        if not lineage:
            return self._upstream[stage]
        found: list[tuple[int, Variant]] = []
        groups = self._groups(stage)
        for columns in groups:
            common = tuple(column for column in columns if column in lineage)
            found += self._index(stage, columns, common).get(
                tuple(lineage[column].id for column in common), ()
            )
        if len(groups) > 1:
            found.sort(key=_number)
        return (variant for _, variant in found)

    def _groups(self, stage: str) -> dict[tuple[str, ...], list[tuple[int, Variant]]]:
        """The variants by the stages in their lineage; links inside options make these differ."""
        if stage not in self._signatures:
            groups = self._signatures[stage] = {}
            for number, variant in enumerate(self._upstream[stage]):
                groups.setdefault((*variant.lineage, stage), []).append((number, variant))
        return self._signatures[stage]

    def _index(self, stage: str, columns: tuple[str, ...], common: tuple[str, ...]) -> _Index:
        key = stage, columns, common
        if key not in self._indices:
            index: _Index = {}
            for number, variant in self._groups(stage)[columns]:
                own = {**variant.lineage, stage: variant}
                index.setdefault(tuple(own[column].id for column in common), []).append((number, variant))
            self._indices[key] = index
        return self._indices[key]

    def _descendants_first(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """The stages, those that are ancestors of another last: what these must be is known by then.

        Otherwise in the given order. Only a matter of speed, so one look at the first variants is enough.
        """
        if len(stages) < 2:
            return stages
        first = {stage: next(iter(self._upstream[stage]), None) for stage in stages}
        ancestors = {name for variant in first.values() if variant for name in variant.lineage}
        return tuple(sorted(stages, key=lambda stage: stage in ancestors))


_Index: TypeAlias = dict[tuple[str, ...], list[tuple[int, Variant]]]


def _number(found: tuple[int, Variant]) -> int:
    return found[0]
