"""How many ways there are to settle a stage's options, without going through them."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from flambe.language import nodes
from flambe.variants.dimensions import Content, Dimension

Ways: TypeAlias = "Counter[frozenset[str]]"
"""The number of assignments for each set of stages that they link to."""

_Drawn: TypeAlias = "Counter[tuple[frozenset[str], bool]]"
"""The same, also told apart by whether a distribution is among the dimensions."""


class _UncountableError(Exception):
    """Only going through the assignments tells how many there are."""


def count_ways(content: Content, num_samples: int) -> Ways | None:
    """How many assignments there are; None where it depends on draws or on option nodes at several places."""
    try:
        ways = _content_ways(content)
    except _UncountableError:
        return None
    counted: Ways = Counter()
    for (needs, drawn), count in ways.items():
        counted[needs] += count * num_samples if drawn else count
    return counted


def _content_ways(content: Content) -> _Drawn:
    ways: _Drawn = Counter({(content.needs, False): 1})
    for dimension in content.dimensions:
        inside = _dimension_ways(dimension)
        product: _Drawn = Counter()
        for (needs, drawn), count in ways.items():
            for (more_needs, more_drawn), times in inside.items():
                product[needs | more_needs, drawn or more_drawn] += count * times
        ways = product
    return ways


def _dimension_ways(dimension: Dimension) -> _Drawn:
    if dimension.shared:
        raise _UncountableError
    if isinstance(dimension.node, nodes.Distribution):
        if any(not _is_drawn_only(content) for content in dimension.contents):
            raise _UncountableError
        return Counter({(frozenset(), True): 1})
    ways: _Drawn = Counter()
    for content in dimension.contents:
        ways.update(_content_ways(content))
    return ways


def _is_drawn_only(content: Content) -> bool:
    """Whether what an option opens up leaves the number of assignments and their links as they are."""
    return not content.needs and all(
        isinstance(dimension.node, nodes.Distribution) and not dimension.shared
        for dimension in content.every_dimension()
    )
