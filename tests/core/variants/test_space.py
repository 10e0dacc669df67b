import pickle
from itertools import islice
from typing import Any

import pytest

from flambe.language.nodes import Build, Entry, Grid, Mapping, Node, Scalar
from flambe.language.read import read_value
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant, choice_values


def read(text: str) -> Node:
    node, problems = read_value(text, "here")
    assert problems == ()
    return node


def space(
    text: str, stages: Any = (), *, stage: str = "s", num_samples: int = 2, seed: int = 1
) -> StageSpace:
    return StageSpace(stage, read(text), stages=stages, seed=seed, num_samples=num_samples)


def values(text: str, **upstream: list[Variant]) -> list[dict[str, Any]]:
    """The choices of each variant, paths without `pipeline.s.`."""
    expanded = space(text, list(upstream)).expand(upstream)
    return [
        {path.removeprefix("pipeline.s.").removeprefix("pipeline."): value for path, value in made.items()}
        for made in map(choice_values, expanded)
    ]


def stage_variants(stage: str, text: str, **upstream: list[Variant]) -> list[Variant]:
    return list(space(text, list(upstream), stage=stage).expand(upstream))


def test_a_stage_without_options_has_one_variant() -> None:
    (variant,) = space("!Trainer {lr: 0.1}").expand({})
    assert (variant.id, variant.choices, variant.upstream, variant.lineage) == ("default", {}, {}, {})


def test_dimensions_are_crossed_in_document_order_the_last_one_fastest() -> None:
    assert values("{a: !g [1, 2], b: [!g [x, y]]}") == [
        {"a": 1, "b[0]": "x"},
        {"a": 1, "b[0]": "y"},
        {"a": 2, "b[0]": "x"},
        {"a": 2, "b[0]": "y"},
    ]


def test_options_inside_an_option_are_only_there_with_it() -> None:
    assert values("{m: !g [!RNN {n: !g [1, 2]}, !CNN {}], k: 0}") == [
        {"m": "!RNN {n: 1}", "m.n": 1},
        {"m": "!RNN {n: 2}", "m.n": 2},
        {"m": "!CNN {}"},
    ]


def test_a_grid_that_is_an_option_of_a_grid_is_flat() -> None:
    assert values("{n: !g [1, !g [2, !g [3]], 4]}") == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]


def test_options_stand_anywhere() -> None:
    text = """
        !Thing
          list: [0, !g [1]]
          map: {k: !g [2]}
          positional: !Linear [!g [3], 4]
          only: !Wrap [!g [5]]
          called: !call {target: a.f, args: [!g [6]], kwargs: {x: !g [7]}}
    """
    assert values(text) == [
        {
            "list[1]": 1,
            "map.k": 2,
            "positional[0]": 3,
            "only[0]": 5,
            "called[0]": 6,
            "called.x": 7,
        }
    ]


def test_a_whole_stage_may_be_an_option() -> None:
    assert values("!g [!A , !B {n: !g [1]}]") == [{"s": "!A"}, {"s": "!B {n: 1}", "n": 1}]


def test_s_is_a_grid_of_its_draws() -> None:
    found = [made["n"] for made in values("{n: !s [0, 100, 3], k: !g [1, 2]}")]
    assert len(found) == 6
    assert found[::2] == found[1::2]
    assert len(set(found)) == 3


def test_a_shared_option_node_is_one_dimension() -> None:
    found = values("{a: &n !g [1, 2], b: *n, c: {d: *n}}")
    assert found == [{"a": 1}, {"a": 2}]
    made = space("{a: &n !g [1, 2], b: *n, c: {d: *n}}")
    assert [made.resolve(v) for v in made.expand({})] == [
        read("{a: 1, b: 1, c: {d: 1}}"),
        read("{a: 2, b: 2, c: {d: 2}}"),
    ]


def test_options_inside_a_shared_node_are_shared() -> None:
    made = space("{a: &m !Thing {n: !g [1, 2]}, b: *m}")
    first, second = (made.resolve(variant) for variant in made.expand({}))
    assert first == read("{a: !Thing {n: 1}, b: !Thing {n: 1}}")
    assert first.get("a") is first.get("b")
    assert second.get("a") is second.get("b")


def test_a_shared_option_counts_where_it_stands_first_in_each_variant() -> None:
    assert values("{x: !g [&n !g [1, 2], 5], y: *n}") == [
        {"x": 1},
        {"x": 2},
        {"x": 5, "y": 1},
        {"x": 5, "y": 2},
    ]


def test_places_that_are_written_alike_stay_apart() -> None:
    assert values('{"a.b": !g [1, 2], a: {b: !g [3]}}') == [{"a.b": 1, "a.b'": 3}, {"a.b": 2, "a.b'": 3}]


def test_python_nodes_without_positions_work() -> None:
    node = Build("Thing", Mapping((Entry("n", Grid((Scalar(1), Scalar(2)))),)))
    made = StageSpace("s", node, stages=[], seed=1, num_samples=1)
    assert [choice_values(v) for v in made.expand({})] == [{"pipeline.s.n": 1}, {"pipeline.s.n": 2}]


# -- upstream ---------------------------------------------------------------------------------------------


def test_needs_are_the_earlier_stages_in_document_order() -> None:
    made = space("{a: !@ c.x, b: !g [!@ a, !@ s.b, !@ resource]}", ["a", "b", "c"])
    assert made.needs == ("a", "c")
    assert made.always_needs == ("c",)


def test_links_in_call_arguments_are_needs() -> None:
    assert space("!call {target: a.f, args: [!@ b], kwargs: {x: !@ c}}", ["a", "b", "c"]).needs == (
        "a",
        "b",
        "c",
    )


def test_upstream_variants_are_outermost() -> None:
    data = stage_variants("data", "!g [1, 2]")
    found = stage_variants("s", "{d: !@ data, n: !g [x, y]}", data=data)
    assert [(v.upstream["data"].id[:6], v.id[:3]) for v in found] == [
        ("data=1", "n=x"),
        ("data=1", "n=y"),
        ("data=2", "n=x"),
        ("data=2", "n=y"),
    ]


def test_an_evaluator_gets_the_data_of_its_model() -> None:
    data = stage_variants("data", "!g [1, 2]")
    train = stage_variants("train", "{d: !@ data, n: !g [x, y]}", data=data)
    found = stage_variants("s", "{m: !@ train.model, d: !@ data.test}", data=data, train=train)
    assert len(found) == 4
    assert all(v.upstream["train"].upstream["data"] == v.upstream["data"] for v in found)
    assert list(found[0].upstream) == ["data", "train"]


def test_a_stage_linked_to_in_an_option_only_counts_with_it() -> None:
    a, b = stage_variants("a", "!g [1, 2]"), stage_variants("b", "!g [1, 2, 3]")
    found = stage_variants("s", "{x: !@ a, y: !g [!@ b, none]}", a=a, b=b)
    assert [sorted(v.upstream) for v in found] == [["a", "b"]] * 3 + [["a"]] + [["a", "b"]] * 3 + [["a"]]
    assert [list(v.lineage) for v in found if "b" not in v.upstream] == [["a"], ["a"]]


def test_variants_share_what_they_have_in_common() -> None:
    data = stage_variants("data", "!g [1]")
    one, other = stage_variants("s", "{d: !@ data, n: !g [1, 2]}", data=data)
    assert one.upstream is other.upstream
    assert one.lineage is other.lineage


def test_expansion_is_lazy() -> None:
    huge = space("[" + ", ".join(["!g [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"] * 40) + "]")
    assert next(huge.expand({})).picks[0].node == Scalar(0)
    assert huge.own_count == 10**40


def test_draws_are_made_one_by_one() -> None:
    many = space("n: !uniform [0, 1]\n", num_samples=10**9)
    few = space("n: !uniform [0, 1]\n", num_samples=3)
    assert list(islice(many.expand({}), 3)) == list(few.expand({}))


def test_expanding_in_parts_gives_the_same_variants() -> None:
    data = stage_variants("data", "!g [1, 2, 3]")
    made = space("{d: !@ data, n: !g [x, y]}", ["data"])
    at_once = list(made.expand({"data": data}))
    assert [v for up in data for v in made.expand({"data": [up]})] == at_once


# -- distributions ----------------------------------------------------------------------------------------


def test_distributions_are_drawn_together_num_samples_times_for_each_grid_choice() -> None:
    found = values("{lr: !uniform [0, 1], n: !g [1, 2], p: !normal [0.0, 1.0]}")
    assert [list(made) for made in found] == [["lr", "n", "p"]] * 4
    assert [made["n"] for made in found] == [1, 1, 2, 2]
    assert len({made["lr"] for made in found}) == len({made["p"] for made in found}) == 4


def test_a_distribution_in_an_option_is_drawn_only_with_it() -> None:
    found = values("{o: !g [!Adam {lr: !uniform [0, 1]}, !SGD {}]}")
    assert [sorted(made) for made in found] == [["o", "o.lr"], ["o", "o.lr"], ["o"]]


def test_an_option_may_be_a_distribution() -> None:
    found = [made["p"] for made in values("{p: !g [0.5, !uniform [0, 1]]}")]
    assert found[0] == 0.5
    assert len(found) == 3
    assert len(set(found)) == 3


def test_equal_draws_are_variants_of_their_own() -> None:
    made = list(space("{n: !randint [4, 5]}", num_samples=3).expand({}))
    assert [choice_values(v) for v in made] == [{"pipeline.s.n": 4}] * 3
    assert len({v.id for v in made}) == 3


def test_grids_in_what_a_choice_drew_are_crossed_within_the_sample() -> None:
    found = values("{m: !choice [!RNN {n: !g [1, 2], p: !uniform [0, 1]}]}")
    assert [made["m.n"] for made in found] == [1, 2, 1, 2]
    assert len({made["m.p"] for made in found}) == 4


def test_options_of_a_choice_may_link() -> None:
    a = stage_variants("a", "!g [1, 2]")
    found = stage_variants("s", "{m: !choice [!@ a, !@ a]}", a=a)
    assert len(found) == 4
    assert {v.upstream["a"] for v in found} == set(a)


@pytest.mark.parametrize(
    "edited",
    [
        "{k: 1, lr: !uniform [0, 1], n: !g [1, 2]}",
        "{n: !g [2, 1], lr: !uniform [0, 1]}",
        "{n: !g [0, 1, 2], lr: !uniform [0, 1], p: !normal [0.0, 1.0]}",
    ],
)
def test_edits_elsewhere_leave_the_draws(edited: str) -> None:
    def drawn(text: str) -> set[tuple[int, float]]:
        return {(made["n"], made["lr"]) for made in values(text)}

    assert drawn("{n: !g [1, 2], lr: !uniform [0, 1]}") <= drawn(edited)


def test_seed_stage_and_path_change_the_draws() -> None:
    made = [
        space("{n: !uniform [0, 1]}", seed=1),
        space("{n: !uniform [0, 1]}", seed=2),
        space("{n: !uniform [0, 1]}", stage="t"),
        space("{k: !uniform [0, 1]}"),
    ]
    assert len({next(one.expand({})).picks[0].node for one in made}) == 4


def test_more_samples_keep_the_first_ones() -> None:
    few, many = (list(space("{n: !uniform [0, 1]}", num_samples=n).expand({})) for n in (2, 5))
    assert many[:2] == few


# -- resolving --------------------------------------------------------------------------------------------


def test_parts_without_options_stay_the_same_objects() -> None:
    made = space("{a: &big !Thing {x: [1, 2]}, b: {c: *big, n: !g [1, 2]}, d: *big}")
    for variant in made.expand({}):
        resolved = made.resolve(variant)
        assert resolved.get("a") is made.node.get("a")
        assert resolved.get("d") is made.node.get("a")
        assert resolved.get("b").get("c") is made.node.get("a")


def test_a_node_without_options_resolves_to_itself() -> None:
    made = space("!Thing {x: [1, 2]}")
    assert made.resolve(next(made.expand({}))) is made.node


def test_choices_keep_the_place_where_they_are_written() -> None:
    made = space("{n: !g [1, 2]}")
    second = list(made.expand({}))[1]
    assert str(made.resolve(second).get("n").position) == "here:1:12"


def test_a_variant_survives_pickling() -> None:
    data = stage_variants("data", "!g [1, 2]")
    variant = stage_variants("s", "{d: !@ data, m: !g [!RNN {n: !g [1]}]}", data=data)[0]
    again = pickle.loads(pickle.dumps(variant))
    assert again == variant
    assert choice_values(again) == choice_values(variant)
    assert again.upstream == variant.upstream


# -- choices made elsewhere -------------------------------------------------------------------------------


SEARCHED = "{n: !randint [1, 9], o: !choice [!Adam {lr: !uniform [0, 1]}, !SGD {}], k: !g [x, y]}"


def test_dimensions_say_where_they_are_and_when() -> None:
    found = [
        (d.name, d.path, [(c.dimension, c.option) for c in d.conditions]) for d in space(SEARCHED).dimensions
    ]
    assert found == [
        ("pipeline.s.n", "pipeline.s.n", []),
        ("pipeline.s.o", "pipeline.s.o", []),
        ("pipeline.s.o<0>.lr", "pipeline.s.o.lr", [("pipeline.s.o", 0)]),
        ("pipeline.s.k", "pipeline.s.k", []),
    ]


def test_a_variant_of_choices_made_elsewhere() -> None:
    made = space(SEARCHED)
    chosen = {"pipeline.s.n": 3, "pipeline.s.o": 0, "pipeline.s.o<0>.lr": 0.5, "pipeline.s.k": 1}
    variant = made.variant(chosen, {})
    assert made.resolve(variant) == read("{n: 3, o: !Adam {lr: 0.5}, k: y}")
    assert variant.id.partition("~")[0] == "n=3,o=Adam,lr=0.5,k=y"
    assert made.variant(chosen, {}) == variant
    assert made.variant(chosen, {}, occurrence=1) != variant


def test_options_that_are_chosen_again_make_another_variant() -> None:
    made = space("!SGD {k: !g [x, y]}")
    first, second, third = (made.variant({"pipeline.s.k": 1}, {}, occurrence=n) for n in (None, 1, 2))
    assert len({first.id, second.id, third.id}) == 3
    assert made.resolve(second) == made.resolve(first)


def test_choices_for_what_is_not_there_are_ignored() -> None:
    made = space(SEARCHED)
    chosen = {"pipeline.s.n": 3, "pipeline.s.o": 1, "pipeline.s.o<0>.lr": 0.5, "pipeline.s.k": 0}
    assert made.resolve(made.variant(chosen, {})) == read("{n: 3, o: !SGD {}, k: x}")


def test_a_grid_chosen_elsewhere_has_the_id_of_the_expansion() -> None:
    data = stage_variants("data", "!g [1, 2]")
    made = space("{d: !@ data, k: !g [x, y]}", ["data"])
    expanded = list(made.expand({"data": data}))
    assert made.variant({"pipeline.s.k": 1}, {"data": data[0]}) == expanded[1]
    assert made.variant({"pipeline.s.k": 1}, {"data": data[0]}).lineage == expanded[1].lineage


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "no choice for pipeline.s.k"),
        ({"pipeline.s.k": 2}, "pipeline.s.k has 2 options, there is no option 2"),
        ({"pipeline.s.k": 1}, "no variant of data, which the choices link to"),
    ],
)
def test_choices_that_do_not_fit_are_refused(choices: dict[str, object], message: str) -> None:
    made = space("{d: !@ data, k: !g [x, y]}", ["data"])
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        made.variant(choices, {})


def test_upstream_variants_that_contradict_are_refused() -> None:
    data = stage_variants("data", "!g [1, 2]")
    train = stage_variants("train", "{d: !@ data}", data=data)
    made = space("[!@ data, !@ train]", ["data", "train"])
    with pytest.raises(ValueError, match=r"\Athe upstream variants come from different variants of data\Z"):
        made.variant({}, {"data": data[0], "train": train[1]})


# -- counting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("!Thing", 1),
        ("{a: !g [1, 2], b: !s [0, 9, 3]}", 6),
        ("{a: !g [1, {b: !g [1, 2], c: !g [1, 2]}]}", 5),
        ("{a: !g [1, !uniform [0, 1]]}", 3),
        ("{a: !uniform [0, 1], b: !choice [x, !uniform [0, 1]]}", 2),
        ("{a: &n !g [1, 2], b: *n}", 2),
        ("{a: !choice [{b: !g [1, 2, 3]}]}", 6),
    ],
)
def test_own_count(text: str, count: int) -> None:
    made = space(text)
    assert made.own_count == len(list(made.expand({}))) == count


def test_ways_tell_apart_what_options_link_to() -> None:
    made = space("{x: !@ a, y: !g [!@ b, !@ b.x, 0], z: !g [1, 2]}", ["a", "b"])
    assert made.ways == {frozenset("ab"): 4, frozenset("a"): 2}
