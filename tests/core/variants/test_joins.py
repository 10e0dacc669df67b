from flambe.variants.joins import Joins
from flambe.variants.variant import Variant


def v(stage: str, name: str, *upstream: Variant) -> Variant:
    lineage: dict[str, Variant] = {}
    for up in upstream:
        lineage |= {**up.lineage, up.stage: up}
    return Variant(stage, name, upstream={up.stage: up for up in upstream}, lineage=lineage)


def joined(upstream: dict[str, list[Variant]], *stages: str) -> list[str]:
    return [
        " ".join(f"{stage}{lineage[stage].id}" for stage in sorted(lineage))
        for lineage in Joins(upstream).over(stages)
    ]


def test_independent_stages_are_crossed_the_last_one_fastest() -> None:
    upstream = {"a": [v("a", "1"), v("a", "2")], "b": [v("b", "1"), v("b", "2")]}
    assert joined(upstream, "a", "b") == ["a1 b1", "a1 b2", "a2 b1", "a2 b2"]


def test_a_stage_and_its_ancestor_are_never_crossed() -> None:
    data = [v("a", "1"), v("a", "2")]
    train = [v("b", f"{k}{up.id}", up) for up in data for k in "xy"]
    assert joined({"a": data, "b": train}, "a", "b") == ["a1 bx1", "a1 by1", "a2 bx2", "a2 by2"]


def test_a_diamond_is_joined_on_its_root() -> None:
    data = [v("a", "1"), v("a", "2")]
    left = [v("b", f"x{up.id}", up) for up in data]
    right = [v("c", f"{k}{up.id}", up) for up in data for k in "yz"]
    assert joined({"b": left, "c": right}, "b", "c") == [
        "a1 bx1 cy1",
        "a1 bx1 cz1",
        "a2 bx2 cy2",
        "a2 bx2 cz2",
    ]


def test_an_ancestor_that_only_some_variants_have_joins_only_those_and_keeps_the_order() -> None:
    data = [v("a", "1"), v("a", "2")]
    mixed = [v("b", "0"), v("b", "1", data[0]), v("b", "2", data[1]), v("b", "3")]
    other = [v("c", "1", data[0])]
    assert joined({"c": other, "b": mixed}, "c", "b") == ["a1 b0 c1", "a1 b1 c1", "a1 b3 c1"]


def test_variants_whose_upstream_was_dropped_do_not_join() -> None:
    data = [v("a", "1"), v("a", "2")]
    train = [v("b", up.id, up) for up in data]
    assert joined({"a": data[:1], "b": train}, "a", "b") == ["a1 b1"]


def test_a_join_starts_from_what_is_given() -> None:
    data = [v("a", "1"), v("a", "2")]
    train = [v("b", up.id, up) for up in data]
    found = list(Joins({"b": train}).over(["b"], {"a": data[1]}))
    assert found == [{"a": data[1], "b": train[1]}]


def test_no_stages_join_in_one_way() -> None:
    assert joined({}) == [""]


def test_a_stage_without_variants_joins_in_no_way() -> None:
    assert joined({"a": [], "b": [v("b", "1")]}, "a", "b") == []


def test_a_wide_join_goes_through_the_stage_that_decides_first() -> None:
    """`c` comes from every pair of `a` and `b`; crossing these before looking at `c` would take minutes."""
    a, b = [v("a", str(i)) for i in range(3000)], [v("b", str(i)) for i in range(3000)]
    c = [v("c", f"{i}", a[i], b[-i]) for i in range(3000)]
    assert len(joined({"a": a, "b": b, "c": c}, "a", "b", "c")) == 3000
