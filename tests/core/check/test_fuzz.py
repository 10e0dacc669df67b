"""Whatever is written in a config, reading and checking it ends with problems, never with an exception."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flambe.check import check, render
from flambe.component import Component
from flambe.errors import ConfigError
from flambe.language.read import read_text
from flambe.registry.registry import Registry


class Part(Component):
    def __init__(
        self,
        size: int = 1,
        rate: float | None = None,
        kind: Literal["a", "b"] = "a",
        parts: list[Part] | dict[str, Part] | None = None,
        other: Any = None,
    ) -> None:
        raise AssertionError("checking builds nothing")

    @classmethod
    def made(cls, size: int) -> Part:
        raise AssertionError("checking builds nothing")

    @property
    def name(self) -> str:
        raise AssertionError("checking builds nothing")

    def metric(self, *args: Any, **kwargs: Any) -> float:
        raise AssertionError("checking builds nothing")


CONFIG = f"""p: {__name__}
---
!Experiment
name: fuzzed
resources:
  glove: path/to/it
  far: !cluster /data
pipeline:
  plain: {{a: 1, b: [1, 2, {{c: x}}]}}
  data: !p.Part
    size: 3
    kind: b
    parts:
      - !p.Part {{size: !g [1, 2, 3], rate: !uniform [0, 1]}}
      - &shared !p.Part [1, 0.5, a]
    other: !@ "data.parts[0].size"
  train: !p.Part
    size: !@ data.size
    rate: !s [0.1, 0.5, 3]
    parts: {{x: *shared, y: !g [!p.Part.made {{size: 4}}, !@ data]}}
    other: !call {{target: data.metric, args: [!@ plain.a, !env HOME], kwargs: {{key: !secret a.b}}}}
  test: !choice [!p.Part {{other: !@ train.name}}, !p.Part {{other: !call train.metric}}]
search: {{train: !p.Part {{size: 3}}}}
schedulers: {{train: !p.Part }}
reduce: {{train: 2}}
devices: {{train: {{cpu: 1, gpu: 0.5}}}}
resume: [data]
num_samples: {{train: 3}}
seed: 3
max_failures: 2
"""

SNIPPETS = [
    "", "~", "3", "-1", "0.5", "true", "yes", "text", "''", "'\"'", "[", "]", "{", "}", "[]", "{}", ":",
    ": ", "- ", "? ", ", ", "#", "|", ">", "&a ", "*a", "*shared", "<<: *shared", "---", "...", "!",
    "!!", "!!str ", "!!python/x ", "!p.Part", "!p.Nothing ", "!p.Part.made ", "!p:x ", "!os:system ",
    "!os.system 'false'", "!Experiment ", "!g ", "!g [1, 1]", "!s [1, 2, 3]", "!s 1", "!uniform [2, 1]",
    "!choice ", "!@ ", "!@ train", "!@ data.size", "!@ a..b", '!@ "data[0"', "!@ test.x.y.z",
    "!@ plain.b[9]", "!call ", "!call data.size", "!call {target: x}", "!env ", "!env NOWHERE",
    "!secret ", "!secret a.b", "!cluster x", "\t", "\n", "\n  ", "\n\n", "  ", "é", "\u2028", "\ufeff",
    "name", "pipeline", "data", "train", "size: 1", "other: ", "1e999", ".nan", "0x1F", "2020-01-01",
    "1_000", "=", "p: ", "pipeline:\n", "a: &a [*a]", "a" * 300, "[" * 150, "{a: " * 60,
]  # fmt: skip

MUTATION = st.tuples(
    st.sampled_from(["insert", "delete", "replace", "swap lines", "indent", "cut"]),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=5)),
)


def mutated(text: str, kind: str, start: float, end: float, snippet: str) -> str:
    lines = text.split("\n")
    at, line, other = int(start * len(text)), int(start * len(lines)), int(end * len(lines))
    length = 1 + int(end * 12)
    match kind:
        case "insert":
            return text[:at] + snippet + text[at:]
        case "delete":
            return text[:at] + text[at + length :]
        case "replace":
            return text[:at] + snippet + text[at + length :]
        case "swap lines":
            lines[line], lines[other] = lines[other], lines[line]
        case "indent":
            lines[line] = " " * int(end * 6) + lines[line].lstrip()
        case _:
            return text[:at]
    return "\n".join(lines)


REGISTRY = Registry.load(entry_points=False)


def survives(text: str) -> None:
    try:
        document = read_text(text, "x.yaml")
    except ConfigError as error:
        problems = list(error.problems)
        assert problems
    else:
        problems = check(document, REGISTRY, secrets={"a": {"b": "c"}}, environment={"HOME": "/"})
    assert all(problem.message and problem.severity in ("error", "warning") for problem in problems)
    assert len(json.loads(render.json(problems))) == len(problems)
    render.text(problems, color=True)


def test_the_config_that_is_mutated_has_no_problem() -> None:
    document = read_text(CONFIG, "x.yaml")
    assert check(document, REGISTRY, secrets={"a": {"b": "c"}}, environment={"HOME": "/"}) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MUTATION, min_size=1, max_size=6))
def test_mutated_configs_raise_nothing_but_config_errors(
    mutations: list[tuple[str, float, float, str]],
) -> None:
    text = CONFIG
    for mutation in mutations:
        text = mutated(text, *mutation)
    survives(text)


@pytest.mark.slow
@settings(max_examples=5_000, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MUTATION, min_size=1, max_size=6))
def test_many_mutated_configs_raise_nothing_but_config_errors_and_end_soon(
    mutations: list[tuple[str, float, float, str]],
) -> None:
    text = CONFIG
    for mutation in mutations:
        text = mutated(text, *mutation)
    survives(text)
