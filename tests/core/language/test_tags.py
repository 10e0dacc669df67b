import pytest

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
    Position,
    Scalar,
    Secret,
    Sequence,
)
from flambe.language.read import read_text


def value(text):
    document = read_text(f"a: {text}\n")
    assert document.problems == ()
    return document.root.get("a")


def problem(text):
    """The only problem of a config whose key `a` is `text`."""
    (only,) = read_text(f"a: {text}\n", "c.yaml").problems
    return str(only)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("!Name", Build("Name")),
        ("!Name {}", Build("Name", Mapping())),
        ("!Name []", Build("Name", Sequence())),
        ("!Name ''", Build("Name", Scalar(""))),
        ("!Name null", Build("Name", Scalar(None))),
        ("!Name 012", Build("Name", Scalar(12))),
        ("!Name '5'", Build("Name", Scalar("5"))),
        ("!ns.Name.factory {b: 1}", Build("ns.Name.factory", Mapping((Entry("b", Scalar(1)),)))),
        ("!pkg.mod:Outer.Inner [1]", Build("pkg.mod:Outer.Inner", Sequence((Scalar(1),)))),
        ("[!Name, !Other]", Sequence((Build("Name"), Build("Other")))),
        ("!Modèle", Build("Modèle")),
        ("!@ s", Link(LinkPath("s"))),
        ("!link s.b", Link(LinkPath("s", (Attribute("b"),)))),
        ("!@ s[b].c", Link(LinkPath("s", (Item("b"), Attribute("c"))))),
        ("['x', !@ 's[0]']", Sequence((Scalar("x"), Link(LinkPath("s", (Item(0),)))))),
        ("!@ 012", Link(LinkPath("012"))),
        ("!call s.f", Link(LinkPath("s", (Attribute("f"),)), True)),
        (
            "!call {target: s.f, args: [1, !@ s], kwargs: {k: !A}}",
            Link(
                LinkPath("s", (Attribute("f"),)),
                True,
                (Scalar(1), Link(LinkPath("s"))),
                (Entry("k", Build("A")),),
            ),
        ),
        ("!call {target: s}", Link(LinkPath("s"), True)),
        ("!g [1, !A, !g [2]]", Grid((Scalar(1), Build("A"), Grid((Scalar(2),))))),
        ("!grid [[1, 2]]", Grid((Sequence((Scalar(1), Scalar(2))),))),
        ("!s [1, 10, 3]", Draws(1, 10, 3)),
        ("!s [0.5, 1, 3, 2]", Draws(0.5, 1, 3, 2)),
        ("!uniform [0, 1.5]", Distribution("uniform", (Scalar(0), Scalar(1.5)))),
        ("!quniform [0, 1, 0.25]", Distribution("quniform", (Scalar(0), Scalar(1), Scalar(0.25)))),
        ("!choice [x, !A, !@ s]", Distribution("choice", (Scalar("x"), Build("A"), Link(LinkPath("s"))))),
        ("!cluster data/x", ClusterPath("data/x")),
        ("!env HOME", Environment("HOME")),
        ("!secret aws.eu.key", Secret("aws.eu", "key")),
    ],
)
def test_the_tag_table(text, node):
    assert value(text) == node


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!g 3", "c.yaml:1:4  a: '!g' takes a list of one or more options, such as !g [1, 2]"),
        ("!grid {b: 1}", "c.yaml:1:4  a: '!grid' takes a list of one or more options, such as !grid [1, 2]"),
        (
            "!choice []",
            "c.yaml:1:4  a: '!choice' takes a list of one or more options, such as !choice [1, 2]",
        ),
        ("!s 5", "c.yaml:1:4  a: '!s' takes a list of numbers: [low, high, k]"),
        ("!uniform [0, !A]", "c.yaml:1:17  a: '!uniform' takes a list of numbers: [low, high]"),
        ("!uniform [3, 1]", "c.yaml:1:4  a: '!uniform': high must be above low, but low is 3 and high is 1"),
        (
            "!randint [0, 1.5]",
            "c.yaml:1:17  a: '!randint' takes [low, high], and high must be an integer, not 1.5",
        ),
        ("!@", "c.yaml:1:4  a: '!@' is followed by where it points, such as !@ stage.attribute"),
        ("!@ {b: 1}", "c.yaml:1:4  a: '!@' is followed by where it points, such as !@ stage.attribute"),
        (
            "!call [1]",
            "c.yaml:1:4  a: '!call' is followed by where it points, such as !call stage.object.method",
        ),
        ("!@ b..c", "c.yaml:1:8  a: cannot read the link 'b..c': a name must follow '.'"),
        (
            "!call {args: []}",
            "c.yaml:1:4  a: '!call' is followed by where it points, "
            "such as !call {target: stage.object.method}",
        ),
        ("!call {target: b, args: 1}", "c.yaml:1:28  a: args of '!call' must be a list"),
        (
            "!call {target: b, kwargs: [1]}",
            "c.yaml:1:30  a: kwargs of '!call' must be a mapping of argument names to values",
        ),
        ("!call {target: b, kwargs: {1: 2}}", "c.yaml:1:31  a: an argument's name is a text, not 1"),
        (
            "!call {target: b, arg: []}",
            "c.yaml:1:22  a: '!call' takes target, args and kwargs, not 'arg'; did you mean 'args'?",
        ),
        ("!cluster", "c.yaml:1:4  a: '!cluster' is followed by a path on the cluster"),
        ("!env [x]", "c.yaml:1:4  a: '!env' is followed by the name of an environment variable"),
        ("!secret key", "c.yaml:1:4  a: '!secret' is followed by section.key, an entry of the secrets file"),
    ],
)
def test_a_tag_with_the_wrong_content(text, message):
    assert problem(text) == message


def test_what_is_wrong_inside_an_option_is_told_once():
    assert problem("!g [!@ .b, 2]") == (
        "c.yaml:1:11  a: cannot read the link '.b': a link starts with the name of a stage or resource"
    )


def test_a_call_notes_where_its_arguments_are():
    call = value("!call {target: s.f, kwargs: {k: 1}}")
    assert call.kwargs[0].position == Position("<config>", 1, 33)
