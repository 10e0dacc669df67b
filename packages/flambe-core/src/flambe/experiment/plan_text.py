"""A plan as text and as a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flambe.experiment.plan import PlannedStage, Statuses

SHOWN = 6
"""Variants shown of a long list."""


def text(stages: Iterable[PlannedStage], statuses: Statuses, *, verbose: bool) -> str:
    """For each stage its count, its links and its variants; long lists cut short unless `verbose`."""
    return "\n".join(line for stage in stages for line in _lines(stage, statuses, verbose=verbose)) + "\n"


def mermaid(stages: Iterable[PlannedStage]) -> str:
    """A Mermaid flowchart: stages with their counts, links as arrows, a `reduce` written on them."""
    listed = list(stages)
    numbers = {stage.name: f"s{number}" for number, stage in enumerate(listed)}
    lines = ["flowchart LR"]
    lines += [f'    {numbers[s.name]}["{_quoted(s.name)}<br/>{_count(s)}"]' for s in listed]
    kept = {stage.name: f'|"{_kept(stage)}"|' if stage.keeps is not None else "" for stage in listed}
    for stage in listed:
        lines += [f"    {numbers[need]} -->{kept[need]} {numbers[stage.name]}" for need in stage.needs]
    return "\n".join(lines) + "\n"


def _lines(stage: PlannedStage, statuses: Statuses, *, verbose: bool) -> Iterator[str]:
    links = f", links to {_and(stage.needs)}" if stage.needs else ""
    yield f"{stage.name}: {_count(stage)}{links}"
    if stage.keeps is not None:
        yield f"  keeps {_kept(stage)}"
    if stage.after_search:
        yield f"  its variants depend on the search of {_and(stage.after_search)}"
    elif stage.too_many:
        yield "  too many to list" if stage.many else "  its variants come from more than can be listed"
    found = Counter(status for (name, _), status in statuses.items() if name == stage.name)
    if found:
        yield "  " + ", ".join(f"{count:,} {status}" for status, count in found.items())
    if stage.assumes:
        yield f"  for example, if {_assumed(stage.assumes)}:"
    yield from _variants(stage, statuses, verbose=verbose)


def _variants(stage: PlannedStage, statuses: Statuses, *, verbose: bool) -> Iterator[str]:
    total = stage.count.number if stage.count is not None else 0
    shown = total if verbose or total <= SHOWN + 2 else SHOWN
    for variant in islice(stage.variants, shown):
        status = statuses.get((stage.name, variant.id))
        yield f"  {variant.id}{f'  {status}' if status else ''}"
    if stage.variants and total > shown:
        yield f"  … {total - shown:,} more"


def _count(stage: PlannedStage) -> str:
    if stage.count is None:
        return f"{stage.samples:,} samples for each upstream variant" if stage.samples else "some variants"
    if stage.samples is not None:
        return f"{stage.count} {'sample' if stage.count.number == 1 else 'samples'}"
    return f"{stage.count} {'variant' if stage.count.number == 1 else 'variants'}"


def _kept(stage: PlannedStage) -> str:
    if stage.count is None:
        return f"{stage.keeps:,}, best by metric"
    if stage.keeps is not None and stage.keeps > stage.count.number:
        return f"{stage.keeps:,}, but there {'is' if stage.count.number == 1 else 'are'} only {stage.count}"
    return f"{stage.keeps:,} of {stage.count}, best by metric"


def _assumed(assumes: Mapping[str, Sequence[str]]) -> str:
    return _and([f"{stage} keeps {_and(list(ids))}" for stage, ids in assumes.items()])


def _and(names: Sequence[str]) -> str:
    """`a, b and c`, long lists cut short."""
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 1], f"{len(names) - SHOWN + 1:,} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _quoted(name: str) -> str:
    return name.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
