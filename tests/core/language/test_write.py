import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.language.header import Folder, Git, Header, HeaderEntry, ImportPath, Requirement
from flambe.language.links import Attribute, Item, LinkPath
from flambe.language.nodes import (
    Build,
    ClusterPath,
    Distribution,
    Draws,
    Entry,
    Environment,
    Grid,
    Link,
    Mapping,
    Scalar,
    Secret,
    Sequence,
    Unreadable,
)
from flambe.language.read import read_text
from flambe.language.walk import walk
from flambe.language.write import write_text

FIGURE = """\
cl: flambe_nlp.classification
---
!Experiment
name: trec
pipeline:
  stage0: !cl.TCProcessor
    dataset: !cl.TrecDataset
  stage1: !Trainer
    sampler: &sampler !BaseSampler
      data: !@ stage0.train
    again: *sampler
    model: !Clf
      n_layers: !g [2, 3, 4]
      lr: !loguniform [1e-05, 0.1]
      sizes: [1, 2.5, x]
      encoders: !g
        - !RNN
          size: 3
        - !@ stage0[encoders][0]
        - - 1
          - !s [0, 1, 5, 2]
        - a: no
          b: 'null'
    hooks: []
    options: {}
    loss: !NLLLoss {}
    extra: !Pair [1, 2]
    params: !call stage1.model.params
    rows: !call
      target: stage0.rows
      args: [3]
      kwargs:
        shuffle: true
    token: !secret hub.token
    home: !env HOME
    data: !cluster /data/x
    note: |
      two
        lines
    '1': ''
    null: null
"""


def test_what_is_written_reads_like_a_hand_written_config():
    document = read_text(FIGURE)
    assert document.problems == ()
    assert write_text(document.root, document.header) == FIGURE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no", "no"),
        ("true", "'true'"),
        ("5", "'5'"),
        ("1e-3", "'1e-3'"),
        ("", "''"),
        (" a", "' a'"),
        ("a: b", "'a: b'"),
        ("a:b", "a:b"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("it's", "it's"),
        ("'it", "'''it'"),
        ("@x", "'@x'"),
        ("*.txt", "'*.txt'"),
        ("a\tb", '"a\\tb"'),
        ("a\x85\u2028b", '"a\\x85\\u2028b"'),
        ("naïve 😀", "naïve 😀"),
        ("a\n", "|\n  a"),
        ("a\n ", '"a\\n "'),
        (1e22, "1e+22"),
        (float("inf"), ".inf"),
        (None, "null"),
    ],
)
def test_strings_are_quoted_only_where_they_would_be_misread(value, text):
    assert write_text(Mapping((Entry("a", Scalar(value)),))) == f"a: {text}\n"


def test_values_in_brackets_are_quoted_more():
    written = write_text(Mapping((Entry("a", Sequence((Scalar("b, c"), Scalar("d:e"), Scalar("f")))),)))
    assert written == "a: ['b, c', 'd:e', f]\n"


def test_a_long_list_is_written_below_its_key():
    written = write_text(Mapping((Entry("a", Sequence((Scalar("x" * 50), Scalar("y" * 50)))),)))
    assert written == f"a:\n  - {'x' * 50}\n  - {'y' * 50}\n"


def test_a_merge_key_that_is_a_string_stays_one():
    root = Mapping((Entry("<<", Mapping()),))
    assert read_text(write_text(root)).root == root


def test_a_header_is_written_first():
    header = Header(
        (
            HeaderEntry("cl", ImportPath("flambe_nlp.classification")),
            HeaderEntry("ext", Git("https://host/o/r", "v1", "sub"), "my.module"),
            HeaderEntry("odd", Folder("/a b/#c: d")),
            HeaderEntry("req", Requirement("name==1.0")),
        )
    )
    root = Build("Experiment", Mapping((Entry("name", Scalar("x")),)))
    written = write_text(root, header)
    assert written == (
        "cl: flambe_nlp.classification\n"
        "ext:\n"
        "  source: git+https://host/o/r@v1#subdirectory=sub\n"
        "  module: my.module\n"
        "odd: '/a b/#c: d'\n"
        "req: name==1.0\n"
        "---\n"
        "!Experiment\n"
        "name: x\n"
    )
    document = read_text(written)
    assert (document.header, document.root, document.problems) == (header, root, ())


def test_shared_nodes_get_anchors_named_after_their_first_key():
    shared = Build("A", Mapping((Entry("x", Scalar(1)),)))
    root = Mapping(
        (
            Entry("my part", Mapping((Entry("deep", shared),))),
            Entry("deep", Sequence((shared, Grid((shared, Scalar(1)))))),
        )
    )
    assert write_text(root) == (
        "my part:\n  deep: &deep !A\n    x: 1\ndeep:\n  - *deep\n  - !g\n    - *deep\n    - 1\n"
    )


def test_plain_values_and_links_need_no_anchors():
    value, link = Scalar(1), Link(LinkPath("data"))
    root = Mapping((Entry("a", value), Entry("b", value), Entry("c", link), Entry("d", link)))
    assert write_text(root) == "a: 1\nb: 1\nc: !@ data\nd: !@ data\n"


def test_what_could_not_be_read_cannot_be_written():
    with pytest.raises(TypeError, match="Unreadable cannot be written"):
        write_text(Mapping((Entry("a", Unreadable()),)))


def test_one_positional_argument_with_a_tag_is_written_as_a_list():
    assert write_text(Build("A", Link(LinkPath("s")))) == "!A\n- !@ s\n"


_text = st.text(st.characters(exclude_categories=["Cs"]))
_odd_text = st.text("- ?:,[]{}#&*!|>'\"%@`\n\t\\0a~.<é\x07\u2028", max_size=8) | st.sampled_from(
    [
        *("no", "yes", "on", "off", "null", "~", "true", "012", "0x1f", "1e3", ".inf", "---"),
        *("...", "<<", "=", "5", "+.5", "1_000", ":a", "-a", "?a", "a:", "a#b"),
        *keyword.kwlist,
    ]
)
_plain = st.none() | st.booleans() | st.integers() | st.floats() | _text | _odd_text
_scalars = st.builds(Scalar, _plain)
_keys = st.one_of(_text, _odd_text, st.integers(), st.floats(), st.booleans(), st.none())
_name = st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True)
_tags = st.from_regex(r"([a-z]\w{0,5}\.){0,2}([a-z]+:)?[A-Z_]\w{0,8}(\.[a-z]+)?", fullmatch=True).filter(
    lambda tag: tag not in ("s", "g")
)
_steps = st.lists(
    st.builds(Attribute, _name)
    | st.builds(Item, st.integers(-99, 99) | _odd_text.filter(lambda t: not ("'" in t and '"' in t))),
    max_size=3,
)
_paths = st.builds(lambda root, steps: LinkPath(root, tuple(steps)), _name, _steps)
_numbers = st.integers(-100, 100) | st.floats(-100, 100)
_one_line = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def _draws(draw):
    low, high = sorted([draw(_numbers), draw(_numbers)])
    return Draws(low, high + 1, draw(st.integers(1, 9)), draw(st.none() | st.integers(0, 5)))


@st.composite
def _uniform(draw):
    low = draw(_numbers)
    return Distribution("uniform", (Scalar(low), Scalar(low + draw(st.integers(1, 5)))))


_leaves = st.one_of(
    _scalars,
    st.builds(Build, _tags),
    st.builds(lambda tag, value: Build(tag, Scalar(value)), _tags, _plain),
    st.builds(Link, _paths, st.booleans()),
    _draws(),
    _uniform(),
    st.builds(ClusterPath, _one_line),
    st.builds(Environment, _one_line.filter(lambda name: "=" not in name and "\0" not in name)),
    st.builds(Secret, _one_line, _one_line.filter(lambda key: "." not in key)),
)


def _entries(values):
    pairs = st.lists(
        st.tuples(_keys, values), max_size=3, unique_by=lambda pair: (type(pair[0]), repr(pair[0]))
    )
    return pairs.map(lambda pairs: tuple(Entry(key, value) for key, value in pairs))


def _branches(values):
    items = st.lists(values, max_size=3).map(tuple)
    options = st.lists(values, min_size=1, max_size=3).map(tuple)
    sequences, mappings = st.builds(Sequence, items), st.builds(Mapping, _entries(values))
    kwargs = _entries(values).map(lambda entries: tuple(e for e in entries if isinstance(e.key, str)))
    shared = values.map(lambda node: Sequence((node, Mapping((Entry("again", node),)))))
    return st.one_of(
        sequences,
        mappings,
        st.builds(Build, _tags, sequences | mappings),
        st.builds(Grid, options),
        st.builds(lambda made: Distribution("choice", made), options),
        st.builds(lambda path, args, kwargs: Link(path, True, args, kwargs), _paths, items, kwargs),
        shared,
    )


_nodes = st.recursive(_leaves, _branches, max_leaves=8)


def _sharing(root):
    """For each node in document order, where the same node was first seen; plain values have no identity."""
    seen = {}
    nodes = [node for _, node in walk(root)]
    return [
        seen.setdefault(id(node), index)
        for index, node in enumerate(nodes)
        if isinstance(node, (Build, Grid, Draws, Distribution, Mapping, Sequence))
    ]


@settings(max_examples=150, deadline=None)
@given(_entries(_nodes))
def test_reading_what_was_written_gives_equal_nodes_that_share_alike(entries):
    root = Mapping(entries)
    document = read_text(write_text(root))
    assert document.problems == ()
    assert document.root == root
    assert _sharing(document.root) == _sharing(root)
    assert write_text(document.root) == write_text(root)


@settings(deadline=None)
@given(st.builds(Build, _tags, st.builds(Mapping, _entries(_nodes)) | _scalars | st.none()))
def test_a_root_with_a_tag_reads_back(root):
    assert read_text(write_text(root)).root == root
