import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.language.scalars import represent, resolve, resolve_as


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("", "~", "null", "Null", "NULL")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        ("0", 0),
        ("012", 12),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+1.5e+3", 1500.0),
        (".inf", math.inf),
        ("+.Inf", math.inf),
        ("-.INF", -math.inf),
        ("1e999", math.inf),
    ],
)
def test_core_schema_values(text, value):
    assert repr(resolve(text)) == repr(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number(text):
    assert math.isnan(resolve(text))


@pytest.mark.parametrize(
    "text",
    [
        *("no", "on", "yes", "off", "y", "nULL", "tRUE", "1_000", "0b1", "-0x1", "0o8", "0xg", "1e", "e3"),
        *(".", "-", "+", "..", "+.nan", "1.2.3", "12:30:45", "2001-12-14", "٣", "1٣", "inf", "nan", "1 2"),
    ],
)
def test_what_only_looks_like_a_value_is_a_string(text):
    assert resolve(text) == text


def test_an_integer_that_python_cannot_print_stays_a_string():
    assert resolve("9" * 5000) == "9" * 5000
    assert resolve("0x" + "f" * 5000) == "0x" + "f" * 5000


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("str", "5", "5"),
        ("int", "5", 5),
        ("float", "5", 5.0),
        ("float", "1e3", 1000.0),
        ("float", "012", 12.0),
        ("bool", "true", True),
        ("null", "", None),
    ],
)
def test_standard_tags_decide_the_type(kind, text, value):
    assert repr(resolve_as(kind, text)) == repr(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int", "5.0"), ("int", "x"), ("float", "x"), ("bool", "1"), ("null", "0"), ("set", "1")],
)
def test_a_text_of_another_type_is_refused(kind, text):
    with pytest.raises(ValueError, match=text):
        resolve_as(kind, text)


@given(st.none() | st.booleans() | st.integers() | st.floats())
def test_resolve_reads_what_represent_wrote(value):
    again = resolve(represent(value))
    assert type(again) is type(value)
    assert repr(again) == repr(value)


@given(st.text(alphabet="+-.0123456789eExoabfINnul~tTrRuUeE _"))
def test_resolve_accepts_any_text(text):
    assert resolve(text) == text or not isinstance(resolve(text), str)
