"""Expansion against the most obvious reference: every world of the whole pipeline, seen from each stage."""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import product
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flambe.language.links import LinkPath
from flambe.language.nodes import (
    Build,
    Distribution,
    Draws,
    Entry,
    Grid,
    Link,
    Mapping,
    Node,
    Scalar,
    Sequence,
)
from flambe.language.walk import walk
from flambe.variants.reduce import best
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant

NUM_SAMPLES = 2
MANY = 1500

# -- pipelines ------------------------------------------------------------------------------------------


@st.composite
def stage_nodes(draw: st.DrawFn, earlier: list[str], pool: list[Node], depth: int = 3) -> Node:
    """A node of any kind; an option node may be one that stands elsewhere already, as a YAML alias is."""
    kinds = (
        ["scalar", "link"]
        if depth == 0
        else ["scalar", "link", "grid", "grid", "list", "build", "draws", "uniform"]
    )
    kind = draw(st.sampled_from([*kinds, *(["alias"] if pool else [])]))
    inside = stage_nodes(earlier, pool, depth - 1)
    match kind:
        case "alias":
            return draw(st.sampled_from(pool))
        case "link" if earlier:
            return Link(LinkPath(draw(st.sampled_from(earlier))))
        case "grid":
            made: Node = Grid(tuple(draw(st.lists(inside, min_size=1, max_size=3))))
        case "draws":
            made = Draws(0, 9, draw(st.integers(1, 2)))
        case "uniform":
            made = Distribution("uniform", (Scalar(0), Scalar(1)))
        case "list":
            return Sequence(tuple(draw(st.lists(inside, max_size=3))))
        case "build":
            values = draw(st.lists(inside, max_size=3))
            return Build("Thing", Mapping(tuple(Entry(f"k{i}", value) for i, value in enumerate(values))))
        case _:
            return Scalar(draw(st.sampled_from([1, 1.0, "1", True, None])))
    pool.append(made)
    return made


@st.composite
def pipelines(draw: st.DrawFn) -> dict[str, Node]:
    pool: list[Node] = []
    pipeline: dict[str, Node] = {}
    for name in "abcd"[: draw(st.integers(1, 4))]:
        parts = draw(st.lists(stage_nodes(list(pipeline), pool), min_size=1, max_size=2))
        pipeline[name] = Sequence(tuple(parts))
    return pipeline


# -- the reference ----------------------------------------------------------------------------------------

Own = tuple[frozenset[tuple[int, int]], int | None]
"""An option taken for each option node in play, and the number of the sample where one is drawn."""


def ways(node: Node, taken: dict[int, int]) -> Iterator[tuple[Node, dict[int, int]]]:
    """Every way to settle the grids inside `node`, given what was taken before it."""
    match node:
        case Grid() | Draws():
            size = len(node.options) if isinstance(node, Grid) else node.count
            for index in [taken[id(node)]] if id(node) in taken else range(size):
                option = node.options[index] if isinstance(node, Grid) else Scalar("drawn")
                yield from ways(option, {**taken, id(node): index})
        case Sequence(items=items):
            for parts, after in ways_of_all(items, taken):
                yield Sequence(parts), after
        case Build(tag=tag, arguments=Mapping(entries=entries)):
            for parts, after in ways_of_all([entry.value for entry in entries], taken):
                values = (Entry(entry.key, part) for entry, part in zip(entries, parts, strict=True))
                yield Build(tag, Mapping(tuple(values))), after
        case _:
            yield node, taken


def ways_of_all(parts: Any, taken: dict[int, int]) -> Iterator[tuple[tuple[Node, ...], dict[int, int]]]:
    if not parts:
        yield (), taken
        return
    for first, after in ways(parts[0], taken):
        for rest, last in ways_of_all(parts[1:], after):
            yield (first, *rest), last


def own_worlds(node: Node) -> list[tuple[Own, Node]]:
    made: list[tuple[Own, Node]] = []
    for settled, taken in ways(node, {}):
        drawn = any(isinstance(part, Distribution) for _, part in walk(settled))
        samples = range(NUM_SAMPLES) if drawn else [None]
        made += [((frozenset(taken.items()), sample), settled) for sample in samples]
    return made


def seen_from(stage: str, world: dict[str, tuple[Own, Node]]) -> Any:
    """What of a world a stage depends on: its own assignment, and what the stages it links to depend on."""
    own, settled = world[stage]
    linked = sorted({part.path.root for _, part in walk(settled) if isinstance(part, Link)})
    return stage, own, tuple(seen_from(name, world) for name in linked)


def reference(pipeline: dict[str, Node], reduce: dict[str, int]) -> dict[str, set[Any]]:
    options = {name: own_worlds(node) for name, node in pipeline.items()}
    size = 1
    for worlds in options.values():
        size *= len(worlds)
    assume(size <= MANY)
    everything = [dict(zip(options, chosen, strict=True)) for chosen in product(*options.values())]
    variants: dict[str, set[Any]] = {}
    flowing: dict[str, set[Any]] = {}
    for name in pipeline:
        views = {seen_from(name, world) for world in everything}
        variants[name] = {view for view in views if all(upstream_flows(up, flowing) for up in view[2])}
        ranked = sorted(variants[name], key=metric)
        flowing[name] = set(ranked[: reduce.get(name, len(ranked))])
    return variants


def upstream_flows(view: Any, flowing: dict[str, set[Any]]) -> bool:
    return view in flowing[view[0]]


def metric(view: Any) -> float:
    """Any number that depends on the variant only; the same view gets the same."""
    return int.from_bytes(blake2b(readable(view).encode(), digest_size=6).digest(), "big")


def readable(view: Any) -> str:
    stage, (taken, sample), upstream = view
    return f"{stage}{sorted(taken)}{sample}{[readable(up) for up in upstream]}"


# -- the same of what is tested ---------------------------------------------------------------------------


def view_of(variant: Variant, spaces: dict[str, StageSpace]) -> Any:
    indices = {
        id(choice): index
        for dimension in spaces[variant.stage].dimensions
        for index, choice in enumerate(dimension.choices)
    }
    grid = [(id(pick.option), indices[id(pick)]) for pick in variant.picks if not pick.drawn]
    samples = {int(pick.text.rpartition("@")[2]) for pick in variant.picks if pick.drawn}
    assert len(samples) <= 1
    upstream = tuple(view_of(variant.upstream[name], spaces) for name in sorted(variant.upstream))
    return variant.stage, (frozenset(grid), samples.pop() if samples else None), upstream


def expand_all(
    pipeline: dict[str, Node], reduce: dict[str, int]
) -> tuple[dict[str, StageSpace], dict[str, list[Variant]]]:
    spaces: dict[str, StageSpace] = {}
    variants: dict[str, list[Variant]] = {}
    flowing: dict[str, list[Variant]] = {}
    for name, node in pipeline.items():
        spaces[name] = StageSpace(name, node, stages=list(spaces), seed=7, num_samples=NUM_SAMPLES)
        variants[name] = list(spaces[name].expand(flowing))
        results = [(variant, metric(view_of(variant, spaces)), True, True) for variant in variants[name]]
        kept = min(reduce.get(name, len(results)), len(results))
        flowing[name] = best(results, kept, stage=name) if name in reduce else variants[name]
    return spaces, variants


@settings(max_examples=250, deadline=None)
@given(pipelines(), st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3)))
def test_variants_are_what_the_stages_see_of_every_world(pipeline: Any, reduce: Any) -> None:
    expected = reference(pipeline, reduce)
    spaces, variants = expand_all(pipeline, reduce)
    for name in pipeline:
        views = [view_of(variant, spaces) for variant in variants[name]]
        assert len(views) == len(set(views))
        assert set(views) == expected[name]


@settings(max_examples=250, deadline=None)
@given(pipelines())
def test_ids_never_repeat_and_name_the_same_assignment_every_time(pipeline: Any) -> None:
    reference(pipeline, {})
    spaces, variants = expand_all(pipeline, {})
    _, again = expand_all(pipeline, {})
    for name in pipeline:
        ids = [variant.id for variant in variants[name]]
        assert len(ids) == len({made.lower() for made in ids})
        assert ids == [variant.id for variant in spaces[name].expand(variants)]
        assert ids == [variant.id for variant in again[name]]


@settings(max_examples=250, deadline=None)
@given(pipelines())
def test_counts_are_those_of_the_expansion(pipeline: Any) -> None:
    reference(pipeline, {})
    for name, node in pipeline.items():
        alone = StageSpace(name, node, stages=[], seed=7, num_samples=NUM_SAMPLES)
        assert alone.own_count == len(list(alone.expand({})))


@settings(max_examples=150, deadline=None)
@given(pipelines())
def test_resolving_gives_what_the_reference_settles(pipeline: Any) -> None:
    node = pipeline["a"]
    space = StageSpace("a", node, stages=[], seed=7, num_samples=1)
    expected = [settled for _, settled in own_worlds(node)[:MANY]]
    assume(not any(isinstance(part, (Draws, Distribution)) for _, part in walk(node)))
    resolved = [space.resolve(variant) for variant in space.expand({})]
    assert resolved == expected
