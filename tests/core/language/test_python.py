import decimal
import enum
import pathlib

import numpy as np
import pytest

from flambe.errors import ConfigError
from flambe.language import python as flambe
from flambe.language.links import Attribute, LinkPath
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
)


class Model:
    def __init__(self, size, *layers, name="m", **extra):
        pass

    class Part:
        pass

    @classmethod
    def small(cls):
        return cls(1)


class Pair:
    def __init__(self, first, second=2, **rest):
        pass


class Colour(enum.IntEnum):
    RED = 3


def entries(**values):
    return Mapping(tuple(Entry(key, value) for key, value in values.items()))


def test_a_stage_is_a_tag_with_arguments():
    assert flambe.stage("torch.Adam") == Build("torch.Adam")
    assert flambe.stage("torch.Adam", lr=0.1) == Build("torch.Adam", entries(lr=Scalar(0.1)))
    assert flambe.stage("Pair", 1, [2]) == Build("Pair", Sequence((Scalar(1), Sequence((Scalar(2),)))))


def test_a_class_is_named_by_its_module():
    assert flambe.stage(Model).tag == f"{__name__}:Model"
    assert flambe.stage(Model.Part).tag == f"{__name__}:Model.Part"
    assert flambe.stage(Model.small).tag == f"{__name__}:Model.small"
    assert flambe.stage(entries).tag == f"{__name__}:entries"


def test_positional_arguments_beside_named_ones_get_their_names():
    assert flambe.stage(Pair, 1, third=3).arguments == entries(first=Scalar(1), third=Scalar(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: flambe.stage("Pair", 1, second=2),
            "'Pair' has positional and named arguments; name them all",
        ),
        (
            lambda: flambe.stage(Model, 1, 2, name="x"),
            "'Model' has positional and named arguments, and 'layers' cannot be named",
        ),
        (
            lambda: flambe.stage(Pair, 1, first=2),
            "'Pair' has positional and named arguments; name them all (multiple values for argument 'first')",
        ),
        (
            lambda: flambe.stage(type("Local", (), {"__qualname__": "f.<locals>.Local"})),
            "'f.<locals>.Local' is defined inside a function; a config can only name what a module holds",
        ),
        (lambda: flambe.link("a..b"), "cannot read the link 'a..b': a name must follow '.'"),
        (lambda: flambe.grid([]), "grid takes one or more options"),
        (lambda: flambe.choice("abc"), "choice takes a list of options, not a str"),
        (lambda: flambe.sample(1, 0, 3), "'!s': high must be above low, but low is 1 and high is 0"),
        (lambda: flambe.normal(0, -1), "'!normal': sd must be above 0, but it is -1"),
        (lambda: flambe.secret("key"), "a secret is 'section.key', not 'key'"),
        (lambda: flambe.env("a=b"), "an environment variable cannot be named 'a=b'"),
        (
            lambda: flambe.to_node({"a": [decimal.Decimal(1)]}),
            "a config cannot hold a value of type decimal.Decimal",
        ),
        (lambda: flambe.to_node("\udc80"), "a config is UTF-8 text and cannot hold '\\udc80'"),
        (lambda: flambe.to_node({(1, 2): 3}), "a key is a plain value, not a tuple"),
        (lambda: flambe.to_node(np.zeros(3)), "a config cannot hold a value of type numpy.ndarray"),
    ],
)
def test_what_a_config_cannot_hold_is_refused(make, message):
    with pytest.raises(ConfigError) as raised:
        make()
    assert str(raised.value) == message


def test_a_value_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="nested more than 100 levels deep"):
        flambe.to_node(endless)


@pytest.mark.parametrize(
    ("value", "node"),
    [
        (None, Scalar(None)),
        (True, Scalar(True)),
        (Colour.RED, Scalar(3)),
        (np.float32(0.5), Scalar(0.5)),
        (np.int64(3), Scalar(3)),
        (np.bool_(True), Scalar(True)),
        (np.str_("x"), Scalar("x")),
        (pathlib.PurePosixPath("a/b"), Scalar("a/b")),
        ((1, "x"), Sequence((Scalar(1), Scalar("x")))),
        ({"a": {1: None}}, entries(a=Mapping((Entry(1, Scalar(None)),)))),
        (Model, Build(f"{__name__}:Model")),
    ],
)
def test_python_values_become_nodes(value, node):
    assert flambe.to_node(value) == node


def test_a_node_stays_itself_so_that_sharing_survives():
    part = flambe.stage("Part")
    whole = flambe.stage("Whole", a=part, b=[part])
    assert whole.arguments.get("a") is part
    assert whole.arguments.get("b").items[0] is part


def test_every_tag_has_a_function():
    path = LinkPath("s", (Attribute("f"),))
    assert flambe.link("s.f") == Link(path)
    assert flambe.call("s.f", 1, k=flambe.link("s.f")) == Link(
        path, True, (Scalar(1),), (Entry("k", Link(path)),)
    )
    assert flambe.grid([1, flambe.grid([2])]) == Grid((Scalar(1), Grid((Scalar(2),))))
    assert flambe.sample(0, 1.5, 3, decimals=2) == Draws(0, 1.5, 3, 2)
    assert flambe.choice(["a", Model]) == Distribution("choice", (Scalar("a"), Build(f"{__name__}:Model")))
    assert flambe.uniform(0, 1) == Distribution("uniform", (Scalar(0), Scalar(1)))
    assert flambe.loguniform(0.1, 1) == Distribution("loguniform", (Scalar(0.1), Scalar(1)))
    assert flambe.quniform(0, 1, 0.1) == Distribution("quniform", (Scalar(0), Scalar(1), Scalar(0.1)))
    assert flambe.randint(0, 2) == Distribution("randint", (Scalar(0), Scalar(2)))
    assert flambe.lograndint(1, 2) == Distribution("lograndint", (Scalar(1), Scalar(2)))
    assert flambe.normal(0, 1) == Distribution("normal", (Scalar(0), Scalar(1)))
    assert flambe.env("HOME") == Environment("HOME")
    assert flambe.secret("aws.key") == Secret("aws", "key")
    assert flambe.cluster("/data") == ClusterPath("/data")
