import pytest

from flambe.language.nodes import Build, Entry, Grid, Mapping, Position, Scalar, Sequence
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_text
from flambe.language.write import write_text

CONFIG = """\
name: x
pipeline:
  data: !Data
  train: !Trainer
    model: !Model
      sizes: [1, 2]
      optimizer: !Pair [1, 2]
      only: !Wrap 5
    epochs: !g [1, 2]
  2: !Other
reduce: null
"""


def changed(*arguments, config=CONFIG):
    """The lines that are in only one of the configs before and after, marked as in a diff."""
    document = apply_overrides(read_text(config), arguments)
    assert document.problems == ()
    before, after = config.splitlines(), write_text(document.root).splitlines()
    return [f"-{line.strip()}" for line in before if line not in after] + [
        f"+{line.strip()}" for line in after if line not in before
    ]


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (["name=y"], ["-name: x", "+name: y"]),
        (["train.model.sizes=[3]"], ["-sizes: [1, 2]", "+sizes: [3]"]),
        (["pipeline.train.model.sizes[-1]=7"], ["-sizes: [1, 2]", "+sizes: [1, 7]"]),
        (["train.epochs=!g [0.1, 0.2]"], ["-epochs: !g [1, 2]", "+epochs: !g [0.1, 0.2]"]),
        (["train[model].optimizer[0]=no"], ["-optimizer: !Pair [1, 2]", "+optimizer: !Pair [no, 2]"]),
        (["train.model.only[0]=6"], ["-only: !Wrap 5", "+only: !Wrap [6]"]),
        (["data.path=a=b"], ["+path: a=b"]),
        (["data.path="], ["+path: null"]),
        (["seed=3"], ["+seed: 3"]),
        (["2=!New {a: 1}"], ["-2: !Other", "+2: !New", "+a: 1"]),
        (["2.b=!@ data"], ["+b: !@ data"]),
        (["reduce.train=1"], ["-reduce: null", "+reduce:", "+train: 1"]),
        (["data.x={}", "data.x.y=1"], ["+x:", "+y: 1"]),
    ],
)
def test_a_value_is_replaced_or_added(arguments, difference):
    assert changed(*arguments) == difference


def test_a_stage_named_like_a_key_of_the_root_needs_its_full_path():
    config = "name: x\npipeline:\n  name: !A\n"
    assert changed("name=y", config=config) == ["-name: x", "+name: y"]
    assert changed("pipeline.name=y", config=config) == ["-name: !A", "+name: y"]


def test_paths_go_into_the_arguments_of_a_root_with_a_tag():
    document = apply_overrides(read_text("!Experiment\npipeline:\n  a: !A\n"), ["a.b=1"])
    assert document.root.arguments.get("pipeline").get("a") == Build("A", Mapping((Entry("b", Scalar(1)),)))


def test_new_nodes_know_their_argument():
    document = apply_overrides(read_text(CONFIG), ["train.epochs=!g [1, 5]"])
    epochs = document.root.get("pipeline").get("train").arguments.get("epochs")
    assert isinstance(epochs, Grid)
    assert epochs.options[1].position == Position("<argument 'train.epochs=!g [1, 5]'>", 1, 21)
    assert document.line_at(epochs.options[1].position) == "train.epochs=!g [1, 5]"


def test_a_node_behind_an_alias_stays_shared():
    document = read_text("pipeline:\n  a: &x !A {n: 1}\n  b: !B\n    of: *x\n    too: &y [1]\n  c: *y\n")
    pipeline = apply_overrides(document, ["a.n=2"]).root.get("pipeline")
    assert pipeline.get("a") == Build("A", Mapping((Entry("n", Scalar(2)),)))
    assert pipeline.get("b").arguments.get("of") is pipeline.get("a")
    assert pipeline.get("b").arguments.get("too") is pipeline.get("c")
    assert document.root.get("pipeline").get("a").arguments.get("n") == Scalar(1)


def test_a_value_may_span_lines():
    document = apply_overrides(read_text(CONFIG), ["data=!A\nb: 1\nc: [2]"])
    assert document.root.get("pipeline").get("data") == Build(
        "A", Mapping((Entry("b", Scalar(1)), Entry("c", Sequence((Scalar(2),)))))
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("epochs", "1:1  expected key.path=value"),
        ("a b=1", "1:2  cannot read the path 'a b': expected '.' or '[' before ' b'"),
        ("=1", "1:1  cannot read the path '': a link starts with the name of a stage or resource"),
        ("trian.epochs=1", "1:1  there is no 'trian' here; did you mean 'train'?"),
        ("train.modle.sizes=1", "1:1  there is no 'modle' here; did you mean 'model'?"),
        ("name.first=1", "1:1  'first' cannot be set: 'x' has no parts"),
        ("train.epochs[0]=1", "1:1  0 cannot be set: a choice between options has no parts"),
        ("train.model.sizes.a=1", "1:1  'a' cannot be set: this is a list; use an index such as [0]"),
        ("train.model.sizes[2]=1", "1:1  there is no item 2: the list has 2"),
        ("name=[1", "1:6  name: '[' is never closed"),
        ("name=!g 3", "1:6  name: '!g' takes a list of one or more options, such as !g [1, 2]"),
        (
            "name={a: 1, b: !@ .}",
            "1:19  name.b: cannot read the link '.': a link starts with the name of a stage or resource",
        ),
        ("name=a\n---\nb", "1:1  name: expected one value, but found several documents"),
    ],
)
def test_what_cannot_be_applied_is_a_problem_of_the_document(argument, message):
    document = apply_overrides(read_text(CONFIG), [argument, "seed=1"])
    (problem,) = document.problems
    where, _, rest = str(problem).rpartition("'>:")
    assert (f"{where}'>", rest) == (f"<argument '{argument}'>", message)
    assert problem.source == argument
    assert document.root.get("seed") == Scalar(1)
