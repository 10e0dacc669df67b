import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flambe.language.nodes import Grid, Mapping, Node, Scalar, Sequence
from flambe.language.read import read_value
from flambe.variants import ids
from flambe.variants.ids import canonical, label
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant


def read(text: str) -> Node:
    node, problems = read_value(text, "here")
    assert problems == ()
    return node


def expand(stage: str, text: str, seed: int = 1, **upstream: Any) -> list[Variant]:
    space = StageSpace(stage, read(text), stages=list(upstream), seed=seed, num_samples=2)
    return list(space.expand(upstream))


def ids_of(text: str, stage: str = "train", **upstream: Any) -> list[str]:
    return [variant.id for variant in expand(stage, text, **upstream)]


STABLE = {
    "!Trainer": ["default"],
    "!g [a, b]": ["train=a~84e5b4", "train=b~f318cc"],
    "{lr: !g [0.1, 1e-05]}": ["lr=0.1~1f084f", "lr=1e-05~695c3d"],
    '{n: !g [1, 1.0, "1", true]}': ["n=1~c98ee8", "n=1.0~64feb1", "n=1~8ba4c3", "n=true~64c054"],
    "{encoder: !g [!RNN {n: !g [2, 3]}, !@ other.encoder]}": [
        "encoder=RNN,n=2~457ddc",
        "encoder=RNN,n=3~6a0e7b",
        "encoder=other.encoder~ddf379",
    ],
    "{n: !s [0, 100, 2], p: !s [0.0, 1.0, 1, 2]}": ["n=60,p=0.49~40827c", "n=3,p=0.49~da6713"],
    "{lr: !loguniform [1e-05, 0.1], act: !choice [relu, tanh]}": [
        "lr=0.0002341,act=tanh~388bdd",
        "lr=0.03202,act=tanh~94ac00",
    ],
    "{n: !g [2, 2], k: !randint [0, 9]}": [
        "n=2,k=5~b9e511",
        "n=2,k=1~6219ff",
        "n=2,k=6~df5024",
        "n=2,k=7~ef9271",
    ],
}
"""Ids that folders on users' disks have: a change here orphans them."""


@pytest.mark.parametrize(("text", "expected"), STABLE.items())
def test_ids_are_these(text: str, expected: list[str]) -> None:
    assert ids_of(text) == expected


def test_ids_do_not_depend_on_the_process() -> None:
    program = (
        "from flambe.language.read import read_value; from flambe.variants.space import StageSpace\n"
        "node, _ = read_value('{lr: !g [0.1, 0.01], n: !uniform [0, 1]}', 'x')\n"
        "print([v.id for v in StageSpace('train', node, stages=[], seed=1, num_samples=2).expand({})])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{ids_of('{lr: !g [0.1, 0.01], n: !uniform [0, 1]}')}\n"}


def test_an_option_more_leaves_the_ids_of_the_others() -> None:
    before = ids_of("{n: !g [1, 2], encoder: !g [!RNN {k: !g [1, 2]}, !CNN {}]}")
    after = ids_of("{n: !g [0, 1, 2], encoder: !g [!RNN {k: !g [3, 1, 2]}, !MLP {}, !CNN {}]}")
    assert set(before) < set(after)


def test_what_is_not_an_option_leaves_the_ids() -> None:
    assert ids_of("{n: !g [1, 2], k: 1}") == ids_of("{k: 2, more: !Thing [], n: !g [1, 2]}")


def test_stages_without_options_leave_the_ids_of_those_that_link_to_them() -> None:
    data, other = expand("data", "1"), expand("other", "!Thing")
    alone = ids_of("[!@ data, !g [1, 2]]", data=data)
    assert alone == ids_of("[!@ other, !g [1, 2]]", data=data, other=other)
    assert alone == ids_of("[!@ other, !g [1, 2], !@ data]", other=other, data=data)


def test_the_order_of_stages_in_the_file_leaves_the_ids() -> None:
    a, b = expand("a", "{n: !g [1, 2]}"), expand("b", "{k: !g [1, 2]}")
    one = ids_of("[!@ a, !@ b]", a=a, b=b)
    assert sorted(one) == sorted(ids_of("[!@ a, !@ b]", b=b, a=a))


def test_choices_of_ancestors_come_after_the_own_ones() -> None:
    data = expand("data", "{size: !g [10]}")
    train = expand("train", "{lr: !g [0.1], data: !@ data}", data=data)
    (evaluation,) = expand("eval", "{model: !@ train, size: !g [5]}", train=train)
    assert evaluation.id.partition("~")[0] == "eval.size=5,data.size=10,lr=0.1"


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("{n_layers: !g [2], lr: !g [0.01]}", "n_layers=2,lr=0.01"),
        ("{a: {dropout: !g [0.1]}, b: {dropout: !g [0.2]}}", "a.dropout=0.1,b.dropout=0.2"),
        ("{x: {a: {n: !g [1]}}, y: {a: {n: !g [2]}}}", "x.a.n=1,y.a.n=2"),
        ("{betas: [!g [0.9], !g [0.99]]}", "betas.0=0.9,betas.1=0.99"),
        ("{n: !g [{k: !g [1]}]}", "n=k-_g,k=1"),
        ("{n: !g [!g [1], 2]}", "n=1"),
        ("{m: !g [!cl.TextField.load {x: 1}]}", "m=TextField.load"),
        ("{m: !g [!@ 'data.train[0]']}", "m=data.train_0_"),
        ("{m: !g ['a b/c:d*e']}", "m=a_b_c_d_e"),
        ("{m: !g ['']}", "m=empty"),
        ("{m: !g [[0.9, 0.99]]}", "m=0.9_0.99"),
        ("{m: !g [null, 1]}", "m=null"),
        ("{m: !g [0.12345678901]}", "m=0.1235"),
        ("{größe: !g [1]}", "gr_e=1"),
        ("{.hidden: !g [1]}", "hidden=1"),
        ("{aux: {n: !g [1]}, b: {n: !g [2]}}", "_aux.n=1,b.n=2"),
    ],
)
def test_readable_part(text: str, readable: str) -> None:
    assert ids_of(text)[0].partition("~")[0] == readable


def test_a_long_assignment_is_cut_after_whole_pairs() -> None:
    text = "{" + ", ".join(f"a_long_name_{i}: !g [{i}]" for i in range(12)) + "}"
    assert ids_of(text)[0].partition("~")[0] == "a_long_name_0=0,a_long_name_1=1,a_long_name_2=2,+9"


def test_values_of_different_types_differ() -> None:
    made = ids_of('{n: !g [1, 1.0, "1", true, "true", null, "null"]}')
    assert len({one.lower() for one in made}) == 7


def test_names_that_differ_in_case_only_have_ids_that_differ_in_more() -> None:
    made = ids_of("{act: !g [relu, ReLU, RELU]}")
    assert len({one.lower() for one in made}) == 3


def test_equal_options_get_different_ids_and_the_first_keeps_its_own() -> None:
    once, twice = ids_of("{n: !g [2]}"), ids_of("{n: !g [2, 2]}")
    assert twice[0] == once[0]
    assert twice[1] != once[0]


def test_a_hash_that_is_taken_is_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    # one digit has 16 values: 40 variants with the same readable part must collide
    monkeypatch.setattr(ids, "HASH_DIGITS", 1)
    made = ids_of("{n: !g [" + ", ".join(["same"] * 40) + "]}")
    assert len(set(made)) == 40
    assert {len(one.partition("~")[2]) for one in made} >= {1, 3}
    assert {one.partition("~")[0] for one in made} == {"n=same"}


keys = st.text(min_size=1, max_size=80)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=120),
    lambda inside: st.lists(inside, max_size=3),
    max_leaves=5,
)


def to_node(value: Any) -> Node:
    return Sequence(tuple(map(to_node, value))) if isinstance(value, list) else Scalar(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(keys, values, min_size=1, max_size=6), st.text(min_size=1, max_size=60))
def test_ids_are_bounded_and_safe_folder_names(options: dict[str, Any], stage: str) -> None:
    from flambe.language.nodes import Entry

    entries = tuple(Entry(key, Grid((to_node(value),))) for key, value in options.items())
    space = StageSpace(stage, Mapping(entries), stages=[], seed=1, num_samples=1)
    for variant in space.expand({}):
        assert len(variant.id) <= 100
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=,-]*~[0-9a-f]{6,32}", variant.id)
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|\Z)", variant.id)


@given(values, values)
def test_canonical_texts_are_equal_where_nodes_are(one: Any, other: Any) -> None:
    assert (canonical(to_node(one)) == canonical(to_node(other))) == (to_node(one) == to_node(other))


@given(values)
def test_labels_are_short_and_safe(value: Any) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._+-]{1,24}", label(to_node(value)))
