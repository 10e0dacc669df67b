import json
from typing import Any

import pytest

from flambe.experiment.plan import Plan
from flambe.experiment.plan_count import Count
from flambe.language.nodes import Node
from flambe.language.read import read_text, read_value
from flambe.variants.space import StageSpace

FIGURE = """
stage0: !Processor
stage1: !Trainer {data: !@ stage0.train, n_layers: !g [2, 3, 4]}
stage2: !Evaluator {model: !@ stage1.model, data: !@ stage0.test}
"""


def pipeline(text: str) -> dict[str, Node]:
    document = read_text(text)
    assert document.problems == ()
    return {entry.key: entry.value for entry in document.root.entries}


def plan(text: str, **settings: Any) -> Plan:
    return Plan.of(pipeline(text), seed=1, **settings)


def node(text: str) -> Node:
    return read_value(text, "here")[0]


def counts(made: Plan) -> dict[str, Count | None]:
    return {name: stage.count for name, stage in made.stages.items()}


def grid(size: int) -> str:
    return f"!g [{', '.join(map(str, range(size)))}]"


def test_json() -> None:
    assert plan(FIGURE, reduce={"stage1": 1}).json() == {
        "stages": [
            {
                "name": "stage0",
                "needs": [],
                "variants": [{"id": "default", "choices": {}, "upstream": {}}],
            },
            {
                "name": "stage1",
                "needs": ["stage0"],
                "variants": [
                    {
                        "id": "n_layers=2~386632",
                        "choices": {"pipeline.stage1.n_layers": 2},
                        "upstream": {"stage0": "default"},
                    },
                    {
                        "id": "n_layers=3~2394fc",
                        "choices": {"pipeline.stage1.n_layers": 3},
                        "upstream": {"stage0": "default"},
                    },
                    {
                        "id": "n_layers=4~9d29af",
                        "choices": {"pipeline.stage1.n_layers": 4},
                        "upstream": {"stage0": "default"},
                    },
                ],
            },
            {
                "name": "stage2",
                "needs": ["stage0", "stage1"],
                "assumes": {"stage1": ["n_layers=2~386632"]},
                "variants": [
                    {
                        "id": "n_layers=2~386632",
                        "choices": {},
                        "upstream": {"stage0": "default", "stage1": "n_layers=2~386632"},
                    }
                ],
            },
        ]
    }


def test_json_values_are_plain_and_what_has_a_tag_is_its_yaml() -> None:
    text = (
        "a: !g [1, 1.5, x, null, true, .inf, [1, !R {n: !g [2]}], {k: 1}, !Adam {lr: 0.1}, !@ a.b, !env HOME]"
    )
    (stage,) = plan(text).json()["stages"]
    assert [variant["choices"]["pipeline.a"] for variant in stage["variants"]] == [
        1,
        1.5,
        "x",
        None,
        True,
        ".inf",
        [1, "!R {n: 2}"],
        {"k": 1},
        "!Adam {lr: 0.1}",
        "!@ a.b",
        "!env HOME",
    ]
    assert json.loads(json.dumps(stage, allow_nan=False)) == stage


def test_text() -> None:
    assert plan(FIGURE, reduce={"stage1": 1}).text() == (
        "stage0: 1 variant\n"
        "  default\n"
        "stage1: 3 variants, links to stage0\n"
        "  keeps 1 of 3, best by metric\n"
        "  n_layers=2~386632\n"
        "  n_layers=3~2394fc\n"
        "  n_layers=4~9d29af\n"
        "stage2: 1 variant, links to stage0 and stage1\n"
        "  for example, if stage1 keeps n_layers=2~386632:\n"
        "  n_layers=2~386632\n"
    )


def test_text_says_what_a_resume_would_do() -> None:
    statuses = {("stage1", "n_layers=2~386632"): "reused", ("stage1", "n_layers=3~2394fc"): "continued"}
    assert plan(FIGURE).text(statuses).splitlines()[2:7] == [
        "stage1: 3 variants, links to stage0",
        "  1 reused, 1 continued",
        "  n_layers=2~386632  reused",
        "  n_layers=3~2394fc  continued",
        "  n_layers=4~9d29af",
    ]
    assert plan(FIGURE).json(statuses)["stages"][1]["variants"][0]["status"] == "reused"


def test_long_lists_are_cut_short_unless_verbose() -> None:
    made = plan(f"a: {grid(100)}")
    lines = made.text().splitlines()
    assert lines[0] == "a: 100 variants"
    assert len(lines) == 8
    assert lines[-1] == "  … 94 more"
    assert len(made.text(verbose=True).splitlines()) == 101


def test_a_reduce_to_more_than_there_are_is_said() -> None:
    assert "  keeps 5, but there are only 3\n" in plan(FIGURE, reduce={"stage1": 5}).text()
    assert "assumes" not in plan(FIGURE, reduce={"stage1": 5}).json()["stages"][2]


def test_mermaid() -> None:
    assert plan(FIGURE, reduce={"stage1": 1}).mermaid() == (
        "flowchart LR\n"
        '    s0["stage0<br/>1 variant"]\n'
        '    s1["stage1<br/>3 variants"]\n'
        '    s2["stage2<br/>1 variant"]\n'
        "    s0 --> s1\n"
        "    s0 --> s2\n"
        '    s1 -->|"1 of 3, best by metric"| s2\n'
    )


def test_mermaid_quotes_names() -> None:
    assert 's0["a&quot;b&lt;c<br/>1 variant"]' in plan("'a\"b<c': 1").mermaid()


def test_stand_ins_are_first_by_id() -> None:
    made = plan(f"a: {grid(12)}\nb: !@ a", reduce={"a": 3})
    ids = sorted(variant.id for variant in made.stages["a"].variants)
    assert [variant.upstream["a"].id for variant in made.stages["b"].variants] == ids[:3]


def test_a_reduced_ancestor_is_assumed_by_all_that_come_from_it() -> None:
    made = plan(FIGURE + "stage3: !Report {of: !@ stage2}\n", reduce={"stage1": 1})
    assert made.stages["stage3"].assumes == {"stage1": ["n_layers=2~386632"]}


def test_known_winners_take_the_place_of_stand_ins() -> None:
    made = plan(FIGURE, reduce={"stage1": 1}, winners={"stage1": ["n_layers=4~9d29af"]})
    (variant,) = made.stages["stage2"].variants
    assert variant.upstream["stage1"].id == "n_layers=4~9d29af"
    assert made.stages["stage2"].assumes == {}


# -- searches -----------------------------------------------------------------------------------------------


def test_a_search_lists_no_variants_but_its_samples() -> None:
    made = plan(FIGURE, search={"stage1": node("!tune.OptunaSearch {num_samples: 20}")}, reduce={"stage1": 2})
    _, searched, after = made.json()["stages"]
    assert searched == {"name": "stage1", "needs": ["stage0"], "samples": 20, "variants": []}
    assert after == {
        "name": "stage2",
        "needs": ["stage0", "stage1"],
        "after_search": ["stage1"],
        "variants": [],
    }
    assert made.text() == (
        "stage0: 1 variant\n"
        "  default\n"
        "stage1: 20 samples, links to stage0\n"
        "  keeps 2 of 20, best by metric\n"
        "stage2: 2 variants, links to stage0 and stage1\n"
        "  its variants depend on the search of stage1\n"
    )


def test_each_upstream_variant_has_a_search_of_its_own() -> None:
    text = "a: !g [1, 2, 3]\nb: {a: !@ a, lr: !uniform [0, 1]}"
    assert counts(plan(text, search={"b": node("!S {num_samples: 20}")}))["b"] == Count(60)
    assert counts(plan(text, search={"b": node("!S")}, num_samples=7))["b"] == Count(21)


def test_what_comes_after_two_searches_is_only_known_when_they_end() -> None:
    text = "a: !g [1, 2]\nb: !@ a\nc: !@ a\nd: [!@ b, !@ c]"
    made = plan(text, search={"b": node("!S"), "c": node("!S")})
    assert made.stages["d"].count is None
    assert made.text().splitlines()[-2:] == [
        "d: some variants, links to b and c",
        "  its variants depend on the search of b and c",
    ]


# -- counts -------------------------------------------------------------------------------------------------


def test_num_samples_may_differ_by_stage() -> None:
    made = plan("a: !uniform [0, 1]\nb: !uniform [0, 1]", num_samples={"a": 3})
    assert counts(made) == {"a": Count(3), "b": Count(1)}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("a: !g [1, 2]\nb: [!@ a, !g [1, 2, 3]]", 6),
        ("a: !g [1, 2]\nb: [!@ a, !g [1, 2, 3]]\nc: [!@ a, !@ b]", 6),
        ("a: !g [1, 2]\nb: !g [1, 2]\nc: [!@ a, !@ b]", 4),
        ("a: !g [1, 2]\nb: [!@ a, !g [1, 2]]\nc: [!@ a, !g [1, 2]]\nd: [!@ b, !@ c]", 8),
        ("a: 1\nb: [!@ a, !g [1, 2]]\nc: [!@ a, !g [1, 2]]\nd: [!@ b, !@ c]", 4),
        ("a: !g [1, 2]\nb: !g [0, !@ a]\nc: !g [0, !@ a]\nd: [!@ b, !@ c]", 7),
        ("a: !g [1, 2]\nb: !g [0, !@ a]\nc: [!@ a, !@ b]", 4),
        ("a: !g [1, 2]\nb: {x: &n !g [0, !@ a], y: *n}", 3),
        ("a: !g [1, 2]\nb: [!@ a, !choice [!g [1, 2], !g [3, 4]]]", 4),
    ],
)
def test_counts_are_those_of_the_expansion(text: str, last: int) -> None:
    made = plan(text)
    assert list(counts(made).values())[-1] == Count(last)
    for stage in made.stages.values():
        assert Count(len(stage.variants)) == stage.count


def test_counting_does_not_enumerate() -> None:
    made = plan(
        f"a: [{', '.join([grid(10)] * 10)}]\nb: !@ a\nc: [!@ a, !@ b, !g [1, 2]]\nd: !@ b", reduce={"b": 3}
    )
    assert counts(made) == {
        "a": Count(10**10),
        "b": Count(10**10),
        "c": Count(6),
        "d": Count(3),
    }
    assert made.text() == (
        "a: 10,000,000,000 variants\n"
        "  too many to list\n"
        "b: 10,000,000,000 variants, links to a\n"
        "  keeps 3 of 10,000,000,000, best by metric\n"
        "  too many to list\n"
        "c: 6 variants, links to a and b\n"
        "  its variants come from more than can be listed\n"
        "d: 3 variants, links to b\n"
        "  its variants come from more than can be listed\n"
    )
    first = made.json()["stages"][0]
    assert first == {"name": "a", "needs": [], "count": 10**10, "variants": []}


def test_a_join_too_large_to_count_is_capped() -> None:
    text = f"a: {grid(2)}\nb: [!@ a, {grid(10)}]\nc: [!@ a, {grid(10)}]\nd: [!@ b, !@ c]"
    assert counts(plan(text))["d"] == Count(200)
    capped = plan(text, limit=150)
    assert counts(capped)["d"] == Count(150, exact=False)
    assert capped.text().splitlines()[-2:] == [
        "d: more than 150 variants, links to b and c",
        "  too many to list",
    ]
    assert capped.json()["stages"][-1] == {"name": "d", "needs": ["b", "c"], "more_than": 150, "variants": []}


def test_text_makes_only_the_variants_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = StageSpace._make

    def counting(self: StageSpace, *args: Any) -> Any:
        made.append(self.stage)
        return make(self, *args)

    monkeypatch.setattr(StageSpace, "_make", counting)
    text = plan(f"a: [{', '.join([grid(10)] * 5)}]\nb: !@ a").text()
    assert "a: 100,000 variants\n" in text
    assert "b: 100,000 variants, links to a\n" in text
    assert len(made) < 20
