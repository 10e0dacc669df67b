import dataclasses

import pytest

from flambe.errors import ConfigError
from flambe.language.header import Header, HeaderEntry, ImportPath
from flambe.language.nodes import Build, Entry, Mapping, Position, Scalar, Sequence, Unreadable
from flambe.language.read import argument_file, read_file, read_text
from flambe.language.text import MAX_CHARACTERS, MAX_DEPTH, MAX_DIRECTIVES
from flambe.language.walk import walk


def value(text):
    """The node of key `a` in a config without problems."""
    document = read_text(f"a: {text}\n")
    assert document.problems == ()
    return document.root.get("a")


def problems(text):
    return [str(problem) for problem in read_text(text, "c.yaml").problems]


def test_a_file_is_read_with_its_name(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"name: x\n")
    document = read_file(path)
    assert document.root == Mapping((Entry("name", Scalar("x")),))
    assert document.root.entries[0].value.position == Position(str(path), 1, 7)
    assert (document.text, document.file, document.problems) == ("name: x\n", str(path), ())


def test_the_first_of_two_documents_is_the_header():
    document = read_text("cl: flambe_nlp.classification\n---\n!Experiment\nname: x\n")
    assert document.header == Header((HeaderEntry("cl", ImportPath("flambe_nlp.classification")),))
    assert document.root == Build("Experiment", Mapping((Entry("name", Scalar("x")),)))


def test_an_empty_header_is_no_header():
    assert read_text("---\n---\nname: x\n").header == Header()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("!!float 1", 1.0),
        ("! 5", "5"),
        ("", None),
        ("|\n  x\n  y", "x\ny\n"),
    ],
)
def test_quotes_and_standard_tags_decide_over_the_core_schema(text, expected):
    assert value(text) == Scalar(expected)


def test_values_keep_their_types_when_compared():
    assert value("[1, 1.0, true]").items == (Scalar(1), Scalar(1.0), Scalar(True))
    assert Scalar(1) != Scalar(1.0)
    assert Scalar(1) != Scalar(True)


def test_standard_collection_tags_are_honoured():
    assert value("!!seq [1]") == Sequence((Scalar(1),))
    assert value("!!map {b: 1}") == Mapping((Entry("b", Scalar(1)),))


def test_keys_keep_their_types_and_order():
    assert list(value("{z: 0, 1: 0, '1': 0, 1.5: 0, true: 0, null: 0}").keys()) == [
        "z",
        1,
        "1",
        1.5,
        True,
        None,
    ]


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfa: \xc3\xa9\r\n", "a: é\r".encode(), "﻿a: é".encode("utf-16-le")]
)
def test_byte_order_marks_and_line_ends_of_other_systems(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    assert read_file(path).root.get("a") == Scalar("é")


def test_positions_count_characters_from_one():
    root = read_text("é: 1\nb:\n  - {c: !A 5}\n  - !B\n    d: 2\n", "c.yaml").root
    places = [(path, node.position.line, node.position.column) for path, node in walk(root)]
    assert places == [
        ((), 1, 1),
        (("é",), 1, 4),
        (("b",), 3, 3),
        (("b", 0), 3, 5),
        (("b", 0, "c"), 3, 9),
        (("b", 0, "c", 0), 3, 12),
        (("b", 1), 4, 5),
        (("b", 1, "d"), 5, 8),
    ]
    assert root.entry("b").position == Position("c.yaml", 2, 1)


def test_an_alias_is_the_same_node():
    root = read_text("a: &x !Foo {b: 1}\nc: *x\nd: [*x, !Foo {b: 1}]\n").root
    assert root.get("c") is root.get("a")
    assert root.get("d").items[0] is root.get("a")
    assert root.get("d").items[1] is not root.get("a")


def test_merge_keys_give_way_to_explicit_keys():
    root = read_text(
        """\
a: &a {x: !Foo, y: 1}
b: &b {y: 2, z: 3}
c: {<<: *a, y: 9}
d:
  y: 8
  <<: [*b, *a]
e: {'<<': 1}
"""
    ).root
    assert root.get("c") == Mapping((Entry("x", Build("Foo")), Entry("y", Scalar(9))))
    assert root.get("c").get("x") is root.get("a").get("x")
    assert root.get("d") == Mapping((Entry("z", Scalar(3)), Entry("x", Build("Foo")), Entry("y", Scalar(8))))
    assert root.get("e") == Mapping((Entry("<<", Scalar(1)),))


def test_everything_wrong_in_place_is_told_at_once():
    assert problems(
        """\
a: 1
a: 2
b: !g []
c: [1, !@ .x, *nothing]
pipeline:
  s: !Foo
    d: !!set {x, y}
    e: !!int x
    [1, 2]: 3
    <<: 4
    f: !choice
      - !s [0, 1, oops]
"""
    ) == [
        "c.yaml:2:1  'a' is given twice: at line 2, column 1, and before at line 1, column 1",
        "c.yaml:3:4  b: '!g' takes a list of one or more options, such as !g [1, 2]",
        "c.yaml:4:11  c[1]: cannot read the link '.x': a link starts with the name of a stage or resource",
        "c.yaml:4:15  c[2]: nothing above is marked '&nothing'",
        "c.yaml:7:8  pipeline.s.d: '!!set' is not a tag of this language; "
        "a class is !Name, with one exclamation mark",
        "c.yaml:8:8  pipeline.s.e: 'x' is no integer, but its tag is '!!int'",
        "c.yaml:9:5  pipeline.s: a key is a plain value, not a list, a mapping or something with a tag",
        "c.yaml:10:9  pipeline.s.<<: '<<' merges a mapping or a list of mappings",
        "c.yaml:12:19  pipeline.s.f: '!s' takes [low, high, k] or [low, high, k, decimals], "
        "and k must be an integer, not 'oops'",
    ]


def test_a_problem_shows_its_line_and_the_rest_is_still_read():
    document = read_text("a: !g []\nb: 2\nb: 3\n")
    assert [problem.source for problem in document.problems] == ["a: !g []", "b: 3"]
    assert document.root == Mapping((Entry("a", Unreadable()), Entry("b", Scalar(2))))


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!<tag:example.org,2000:x> 1"])
def test_no_other_standard_tag_is_understood(tag):
    assert "is not a tag of this language; a class is !Name" in problems(f"a: {tag}\n")[0]


def test_an_alias_inside_its_anchor_is_told():
    assert problems("a: &x [1, *x]\n") == ["c.yaml:1:11  a[1]: '*x' stands inside what it repeats"]


def test_an_alias_bomb_is_defused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    document = read_text("\n".join(lines), "c.yaml")
    assert len(list(walk(document.root))) < 200_000
    assert str(document.problems[0]) == "c.yaml:5:45  a4[7]: aliases repeat more than 100,000 values in all"


def test_deep_nesting_is_told_once_and_skipped():
    document = read_text(f"a: {'[' * 150}{']' * 150}\nb: 1\n", "c.yaml")
    assert [problem.message for problem in document.problems] == [f"nested more than {MAX_DEPTH} levels deep"]
    assert document.root.get("b") == Scalar(1)


def test_nesting_through_aliases_counts():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 150)]
    document = read_text("\n".join(lines))
    assert max(len(path) for path, _ in walk(document.root)) <= MAX_DEPTH
    assert {problem.message for problem in document.problems} == {f"nested more than {MAX_DEPTH} levels deep"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[{" * 100_000, "- " * 100_000, "? " * 100_000, "{a: " * 100_000]
)
def test_hopeless_nesting_is_refused_at_once(text):
    with pytest.raises(ConfigError, match=f"nested more than {MAX_DEPTH} levels deep"):
        read_text("a: 1\nb:\n  " + text)


def test_the_line_of_any_position_can_be_shown():
    document = read_text("a: 1\r\nb: 2\u2028  c", "c.yaml")
    assert document.line_at(Position("c.yaml", 2, 1)) == "b: 2"
    assert document.line_at(Position("c.yaml", 9, 1)) is None
    assert document.line_at(Position("other.yaml", 1, 1)) is None
    assert document.line_at(Position(argument_file("a.b='x'"), 1, 3)) == "a.b='x'"


def test_nodes_are_frozen():
    root = read_text("a: 1\n").root
    with pytest.raises(dataclasses.FrozenInstanceError):
        root.entries = ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * (MAX_CHARACTERS + 1), "longer than 4,000,000 characters, the most a config may have"),
        (
            "#" + "\n%A b" * (MAX_DIRECTIVES + 1) + "\n---\na: 1\n",
            "more than 100 lines start with '%', the sign of a YAML directive",
        ),
    ],
    ids=["characters", "directives"],
)
def test_a_text_that_would_take_the_parser_too_long_is_refused(text, message):
    with pytest.raises(ConfigError) as raised:
        read_text(text, "c.yaml")
    assert [problem.message for problem in raised.value.problems] == [message]
