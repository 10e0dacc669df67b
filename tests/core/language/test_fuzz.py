"""Whatever the bytes, reading ends soon, with nodes or with one ConfigError, and runs nothing."""

import random

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flambe.errors import ConfigError
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_text, read_value
from flambe.language.text import decode
from flambe.language.walk import walk
from flambe.language.write import write_text

CONFIGS = [
    """\
cl: flambe_nlp.classification
ext:
  source: https://github.com/o/r/tree/main/sub
  module: my.module
---
!Experiment

name: trec

pipeline:
  stage0: !cl.TCProcessor
    dataset: !cl.TrecDataset
  stage1: !Trainer
    data: &data !BaseSampler
      data: !@ stage0.train
      batch_size: 32
    model: !cl.TextClassifier
      encoder: !RNNEncoder
        n_layers: !g [2, 3, 4]
        lr: !loguniform [1e-5, .1]
        other: [!A, !B {x: 1}, !@ 'a[b]']
    optimizer: !torch.Adam {params: !@ stage1.model.params }
    text: "quoted \\u00e9" # comment
    again: *data
    rows: !call {target: stage0.rows, args: [1], kwargs: {k: !s [0, 1, 3]}}
reduce:
  stage1: 1   # pick best
""",
    """\
a: &x {b: [1, 2], <<: {c: !env HOME}}
d: *x
? complex
: |+
  block

e: >-
  folded
  text
f: !!int '3'
""",
]
TOKENS = [
    *(
        "!",
        "!!",
        "!@ ",
        "!g ",
        "!s ",
        "!call ",
        "!secret ",
        "!<",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        ": ",
        "- ",
        "-",
        "#",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "|",
        ">",
        "%",
        "@",
        "`",
        "\t",
        "\n",
        "\r",
        "---\n",
        "...\n",
        "\\",
        "~",
    ),
    *(
        "\0",
        "\x07",
        "\x85",
        "\u2028",
        "﻿",
        "é",
        "😀",
        "\ud800",
        "  ",
        "1e-3",
        ".inf",
        "!!python/object:os.system ",
    ),
]


def read_any(data):
    """Read bytes or text as a file; everything but a ConfigError with a message is a bug."""
    try:
        text = data if isinstance(data, str) else decode(data, "c.yaml").content
        document = read_text(text, "c.yaml")
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.message
        assert "\n" not in problem.message
        return None
    assert all(problem.position is None or problem.position.line > 0 for problem in document.problems)
    if not document.problems:
        again = read_text(write_text(document.root, document.header), "c.yaml")
        assert again.root == document.root
        assert again.problems == ()
    apply_overrides(document, ["a.b=1", "stage1.model[0]=!g [1]"])
    return sum(1 for _ in walk(document.root))


def mutate(text, random_state):
    for _ in range(random_state.randint(1, 4)):
        at = random_state.randrange(len(text) + 1)
        action = random_state.randrange(5)
        if action == 0:
            text = text[:at] + random_state.choice(TOKENS) + text[at:]
        elif action == 1:
            text = text[:at] + text[at + random_state.randint(1, 12) :]
        elif action == 2:
            start = random_state.randrange(len(text) + 1)
            text = text[:at] + text[start : start + random_state.randint(1, 60)] + text[at:]
        elif action == 3:
            lines = text.split("\n")
            line = random_state.randrange(len(lines))
            lines[line] = " " * random_state.randint(0, 6) + lines[line].lstrip()
            text = "\n".join(lines)
        else:
            text = text[:at]
    return text


@pytest.mark.parametrize("pure_python", [False, True], ids=["libyaml", "pure python"])
@pytest.mark.parametrize("config", CONFIGS)
def test_mutated_configs(config, pure_python, monkeypatch):
    monkeypatch.setattr(yaml, "__with_libyaml__", not pure_python)
    random_state = random.Random(7)
    sizes = [read_any(mutate(config, random_state)) for _ in range(150)]
    assert any(sizes)
    assert None in sizes


@pytest.mark.slow
def test_many_mutated_configs():
    random_state = random.Random()
    for _ in range(20_000):
        read_any(mutate(random_state.choice(CONFIGS), random_state))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
@example(b"\xff\xfe")
@example(b"\x00")
@example("%TAG ! tag:yaml.org,2002:\n---\n!str a")
@example("- !!python/object/apply:os.abort []")
@example("'\ud800'")
@example('"\\ud800": 1')
@example('a: "\\uD83D\\uDE00"')
@example("a: !%ff x")
@example("cl: 'x'\ncl: \"\\ud800\"\n---\na: 1")
def test_random_input(data):
    read_any(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=10).map("".join))
def test_random_headers(header):
    read_any(f"cl: a\n{header}\n---\na: 1\n")


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=12) | st.lists(st.sampled_from([*TOKENS, "a", ".", "=", "0"]), max_size=10).map("".join)
)
def test_random_overrides(argument):
    document = read_text("a: {b: [1, !A], c: !A 3}\npipeline: {s: !g [1]}\n")
    for prefix in ("", "a.b[1].x=", "a"):
        changed = apply_overrides(document, [prefix + argument])
        assert changed.problems or changed.root != document.root or "=" in prefix + argument


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[[[" * 30_000,
        "a: " + "!x " * 30_000,
        "a: " + "&x " * 30_000,
        "a: &x [" + "*x, " * 30_000 + "]",
        "a: {" + "a: 1, " * 30_000 + "}",
        "a: &b {c: 1}\n" + "".join(f"d{n}: {{<<: [*b, *b, *b]}}\n" for n in range(10_000)),
        "%TAG !a! x\n" * 5_000 + "---\na: 1\n",
        "".join(f"%TAG !a{n}! x\n" for n in range(300_000)) + "---\na: 1\n",
        "a: " + "(" * 100_000,
        "a: '" + "''" * 300_000 + "'",
        "a: !g [" + "!A, " * 10_000 + "!A]",
        "a: !g [" + "!A b," * 20_000 + "]",
        "a: " + "b: " * 50_000,
        "x\n" * 100_000,
        "a: @\n" + "b: 1\n" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_large_input_ends_soon(text):
    read_any(text)


@pytest.mark.parametrize("config", [*CONFIGS, "a:\t1\nb: [!A]\n", "a: !Modèle\nb: !<!x> 1\nc: ! 1\n"])
def test_both_parsers_give_the_same_nodes(config, monkeypatch):
    first = read_text(config)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    second = read_text(config)
    assert second == first
    assert [node.position for _, node in walk(second.root)] == [node.position for _, node in walk(first.root)]


def test_a_value_is_read_from_nothing():
    node, problems = read_value("", "x")
    assert (node.value, problems) == (None, ())
