from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from typing import Any, Literal, Protocol

from flambe.component import Component

Stage = Callable[[str], list[str]]


class Encoder(Component):
    def __init__(self, input_size: int, n_layers: int = 1, rnn_type: Literal["lstm", "gru"] = "lstm") -> None:
        self.input_size = input_size

    @classmethod
    def from_alias(cls, alias: str) -> Encoder:
        return cls(3)


class Decoder(Component):
    def __init__(self, output_size: int) -> None:
        self.output_size = output_size


class Classifier(Component):
    def __init__(self, encoder: Encoder, decoder: Decoder, dropout: float = 0.0) -> None:
        self.encoder = encoder


class Empty(Component):
    pass


class Anything:
    def __init__(self, *args: int, **kwargs: Any) -> None: ...


class Positional:
    def __init__(self, size: int, /, name: str = "") -> None: ...


class Unfinished(abc.ABC):
    @abc.abstractmethod
    def step(self) -> bool: ...


class Shape(Protocol):
    size: int


class Mode(enum.Enum):
    FAST = "fast"


class Wide:
    def __init__(self, mode: Mode = Mode.FAST, sizes: list[int] | None = None, lr: float = None) -> None: ...  # noqa: RUF013


def double(value: int) -> float:
    return 2.0 * value


SIZE = 3

OK = """
a: !p.Classifier
  encoder: !p.Encoder {input_size: 3, n_layers: !g [1, 2], rnn_type: gru}
  decoder: !p.Decoder [4]
b: !p.Decoder 4
c: !p.Encoder.from_alias {alias: bert}
d: !p.Anything {any: thing}
e: !p.Anything [1, 2]
f: !p.Positional [1, name]
g: !p.Empty
h: !p.double 3
i: !p.Wide {mode: fast, lr: 1, sizes: [1, !g [2, 3]]}
j: !p.Wide {mode: FAST, lr: null, sizes: null}
k: !p.Classifier
  encoder: !p.Encoder.from_alias [x]
  decoder: !p.Decoder {output_size: !randint [1, 3]}
  dropout: !s [0, 1, 2]
l: !p.Anything
"""


def test_right_arguments_are_let_through(stage: Stage) -> None:
    assert stage(OK) == []


def test_unknown_argument_is_refused_with_the_nearest_name(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Encoder {input_size: 1, n_layer: 2}
        """
    )
    assert found == [
        "x.yaml:5:33  pipeline.a.n_layer: Encoder has no argument 'n_layer'; did you mean 'n_layers'?",
    ]


def test_unknown_argument_without_a_near_name_lists_them_all(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Decoder {output_size: 1, zzz: 2}
        """
    )
    assert found == [
        "x.yaml:5:34  pipeline.a.zzz: Decoder has no argument 'zzz'; it has 'output_size'",
    ]


def test_class_without_arguments_takes_none(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Empty {size: 1}
        """
    )
    assert found == [
        "x.yaml:5:16  pipeline.a.size: Empty has no argument 'size'; it takes none",
    ]


def test_all_missing_arguments_are_named_at_once(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Classifier
        """
    )
    assert found == [
        "x.yaml:5:6  pipeline.a: Classifier needs the arguments 'encoder' and 'decoder'",
    ]


def test_misspelt_argument_is_not_also_missing(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Encoder {inputsize: 2}
        """
    )
    assert found == [
        "x.yaml:5:18  pipeline.a.inputsize: Encoder has no argument 'inputsize'; did you mean 'input_size'?",
    ]


def test_too_many_positional_arguments_are_counted(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Decoder [1, 2]
        """
    )
    assert found == [
        "x.yaml:5:21  pipeline.a[1]: Decoder takes 1 argument by place, but 2 are given",
    ]


def test_a_lone_value_is_one_positional_argument(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Empty 1
        """
    )
    assert found == [
        "x.yaml:5:15  pipeline.a[0]: Empty takes no arguments, but 1 is given",
    ]


def test_positional_only_parameter_cannot_be_named(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Positional {size: 1}
        """
    )
    assert found == [
        "x.yaml:5:21  pipeline.a.size: Positional takes 'size' by its place only: write its arguments "
        "as a list",
    ]


def test_argument_that_belongs_one_level_deeper_is_pointed_out(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Classifier
          encoder: !p.Encoder
          input_size: 3
          decoder: !p.Decoder {output_size: 3}
        """
    )
    assert found == [
        "x.yaml:6:14  pipeline.a.encoder: Encoder needs the argument 'input_size'",
        "x.yaml:7:5  pipeline.a.input_size: Classifier has no argument 'input_size', but Encoder (its "
        "'encoder') has: check the indentation",
    ]


def test_argument_that_belongs_one_level_higher_is_pointed_out(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Classifier
          encoder: !p.Encoder
            input_size: 3
            dropout: 3
          decoder: !p.Decoder {output_size: 3}
        """
    )
    assert found == [
        "x.yaml:8:7  pipeline.a.encoder.dropout: Encoder has no argument 'dropout', but Classifier "
        "(above it) has: check the indentation",
    ]


def test_values_of_wrong_types_are_refused_all_at_once(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Classifier
          encoder: !p.Encoder {input_size: two, n_layers: !g [1, a], rnn_type: lsmt}
          decoder: !p.Encoder {input_size: 1}
          dropout: true
        """
    )
    assert found == [
        "x.yaml:6:38  pipeline.a.encoder.input_size: Encoder: 'input_size' must be int, not 'two' (str)",
        "x.yaml:6:60  pipeline.a.encoder.n_layers: Encoder: 'n_layers' must be int, not 'a' (str)",
        "x.yaml:6:74  pipeline.a.encoder.rnn_type: Encoder: 'rnn_type' must be 'lstm' or 'gru', "
        "not 'lsmt' (str); did you mean 'lstm'?",
        "x.yaml:7:14  pipeline.a.decoder: Classifier: 'decoder' must be Decoder, not an Encoder",
        "x.yaml:8:14  pipeline.a.dropout: Classifier: 'dropout' must be float, not true (bool)",
    ]


def test_a_class_wants_an_object_with_a_tag(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Classifier
          encoder: {input_size: 3}
          decoder: !g [!p.Decoder [1], !p.Encoder [1], none]
        """
    )
    assert found == [
        "x.yaml:6:14  pipeline.a.encoder: Classifier: 'encoder' must be Encoder, not a mapping; write "
        "an object with its !tag",
        "x.yaml:7:34  pipeline.a.decoder: Classifier: 'decoder' must be Decoder, not an Encoder",
        "x.yaml:7:50  pipeline.a.decoder: Classifier: 'decoder' must be Decoder, not 'none' (str); "
        "write an object with its !tag",
    ]


def test_classes_that_cannot_be_built_are_refused(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Unfinished
        b: !p.Shape
        """
    )
    assert found == [
        "x.yaml:5:6  pipeline.a: Unfinished is abstract: it does not define 'step'; use one of its "
        "subclasses",
        "x.yaml:6:6  pipeline.b: Shape is a protocol, which cannot be built",
    ]


def test_unknown_tags_are_refused_and_their_arguments_still_checked(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Enoder {x: !p.Decoder {size: 3}}
        b: !p.SIZE
        c: !Nowhere
        d: !p.Encoder.from_alas {}
        """
    )
    assert found == [
        "x.yaml:5:6  pipeline.a: unknown tag 'p.Enoder': module 'tests.core.check.test_arguments' has "
        "no 'Enoder'; did you mean 'p.Encoder' or 'p.Decoder'?",
        "x.yaml:5:20  pipeline.a.x: Decoder needs the argument 'output_size'",
        "x.yaml:5:32  pipeline.a.x.size: Decoder has no argument 'size'; it has 'output_size'",
        "x.yaml:6:6  pipeline.b: unknown tag 'p.SIZE': 'SIZE' of module "
        "'tests.core.check.test_arguments' is an instance of int, not a class or function",
        "x.yaml:7:6  pipeline.c: unknown tag 'Nowhere'",
        "x.yaml:8:6  pipeline.d: unknown tag 'p.Encoder.from_alas': class 'Encoder' has no "
        "classmethod 'from_alas'; did you mean 'p.Encoder.from_alias'?",
    ]


def test_distributions_are_judged_by_what_they_draw(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Encoder {input_size: !uniform [0, 1], n_layers: !s [0.5, 1, 3], rnn_type: !choice [lstm, 1]}
        """
    )
    assert found == [
        "x.yaml:5:30  pipeline.a.input_size: Encoder: 'input_size' must be int, not a float from !uniform",
        "x.yaml:5:57  pipeline.a.n_layers: Encoder: 'n_layers' must be int, not a float from !s",
        "x.yaml:5:98  pipeline.a.rnn_type: Encoder: 'rnn_type' must be 'lstm' or 'gru', not 1 (int)",
    ]


def test_functions_are_judged_by_what_they_take_and_return(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Decoder {output_size: !p.double 3}
        b: !p.double {val: 3}
        c: !p.double 3.5
        """
    )
    assert found == [
        "x.yaml:5:31  pipeline.a.output_size: Decoder: 'output_size' must be int, not a float",
        "x.yaml:6:17  pipeline.b.val: double has no argument 'val'; did you mean 'value'?",
        "x.yaml:7:16  pipeline.c[0]: double: 'value' must be int, not 3.5 (float)",
    ]


def test_factories_are_judged_by_their_own_arguments(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Encoder.from_alias {alas: 3}
        """
    )
    assert found == [
        "x.yaml:5:29  pipeline.a.alas: p.Encoder.from_alias has no argument 'alas'; did you mean 'alias'?",
    ]


def test_items_of_lists_are_judged_where_they_stand(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Wide {sizes: [1, two, !g [3, x]], mode: slow, lr: x}
        """
    )
    assert found == [
        "x.yaml:5:26  pipeline.a.sizes[1]: Wide: 'sizes[1]' must be int, not 'two' (str)",
        "x.yaml:5:38  pipeline.a.sizes[2]: Wide: 'sizes[2]' must be int, not 'x' (str)",
        "x.yaml:5:49  pipeline.a.mode: Wide: 'mode' must be Mode ('FAST'), not 'slow' (str)",
        "x.yaml:5:59  pipeline.a.lr: Wide: 'lr' must be float, not 'x' (str)",
    ]


def test_further_positional_arguments_are_judged(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Anything [1, x]
        """
    )
    assert found == [
        "x.yaml:5:22  pipeline.a[1]: Anything: 'args' must be int, not 'x' (str)",
    ]


def test_names_of_arguments_are_text(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Encoder {1: 2, input_size: 1}
        """
    )
    assert found == [
        "x.yaml:5:18  pipeline.a.1: Encoder: the name of an argument must be text, not 1",
    ]
