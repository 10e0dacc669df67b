import json

from flambe.check import render
from flambe.errors import Problem
from flambe.language.nodes import Position

AT = Position("exp.yaml", 21, 9)
LINE = "        n_layer: 3"
WRONG = Problem(
    "RNNEncoder has no argument 'n_layer'; did you mean 'n_layers'?", AT, "pipeline.a", source=LINE
)
SAME = Problem("this option is the same as one before it", AT, "pipeline.a", "warning", "\tn: !g [1, 1]")
WHOLE = Problem("an experiment needs the key 'name'")


def test_text_shows_the_place_and_the_line_with_a_caret() -> None:
    assert render.text([WRONG]) == (
        "exp.yaml:21:9  pipeline.a: RNNEncoder has no argument 'n_layer'; did you mean 'n_layers'?\n"
        "            n_layer: 3\n"
        "            ^"
    )


def test_text_leaves_out_what_is_not_known() -> None:
    assert render.text([WHOLE, WHOLE]) == "\n".join([WHOLE.message] * 2)
    assert render.text([]) == ""


def test_the_caret_stands_below_its_column_after_tabs_and_wide_letters() -> None:
    tab = Problem("m", Position("x", 1, 3), source="\ta: 3")
    wide = Problem("m", Position("x", 1, 5), source="名字: 日本")
    assert render.text([tab]) == "x:1:3  m\n    \ta: 3\n    \t ^"
    assert render.text([wide]) == "x:1:5  m\n    名字: 日本\n          ^"


def test_warnings_say_that_they_are() -> None:
    assert render.text([SAME]).splitlines()[0] == (
        "exp.yaml:21:9  pipeline.a: warning: this option is the same as one before it"
    )


def test_color_changes_nothing_but_the_color() -> None:
    import re

    colored = render.text([WRONG, SAME, WHOLE], color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == render.text([WRONG, SAME, WHOLE])


def test_json_holds_every_field() -> None:
    assert json.loads(render.json([SAME, WHOLE])) == [
        {
            "file": "exp.yaml",
            "line": 21,
            "column": 9,
            "path": "pipeline.a",
            "severity": "warning",
            "message": "this option is the same as one before it",
            "source": "\tn: !g [1, 1]",
        },
        {
            "file": None,
            "line": None,
            "column": None,
            "path": "",
            "severity": "error",
            "message": "an experiment needs the key 'name'",
            "source": None,
        },
    ]
    assert render.json([]) == "[]"
