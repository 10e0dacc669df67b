"""States as JSON beside arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flambe.errors import DamagedSaveError, SavingError
from flambe.saving.values import Encoder, decode, is_small, to_json

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
keys = st.text() | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text())
arrays = hnp.arrays(
    st.sampled_from(
        [np.bool_, np.int8, np.int64, np.uint16, np.float16, np.float64, np.complex64, "U3", "S2"]
    ),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
)
nested = st.recursive(
    plain | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.text() | st.integers(), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


def round_trip(value: Any) -> Any:
    encoder = Encoder("state")
    text = to_json(encoder.encode(value))
    return decode(json.loads(text), lambda name: encoder.files[name])  # type: ignore[arg-type,return-value]  # bytes


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [*map(repr, a)] == [*map(repr, b)] and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)


@given(nested)
def test_every_state_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    assert same(value, round_trip(value))


def test_a_text_that_is_no_utf8_comes_back() -> None:
    """Python reads such from the names of files whose bytes are no text."""
    value = {"a\udcff": ["\ud800é", "\udfff"]}
    assert round_trip(value) == value


def test_numbers_of_more_digits_than_python_reads_come_back() -> None:
    value = {"big": [10**5000, -(10**5000)], "edge": [2**13_999, 2**14_000]}
    assert round_trip(value) == value
    with pytest.raises(DamagedSaveError, match=r"^'10x' is no number that Flambé wrote$"):
        decode({"$int": "10x"}, lambda name: b"")


def test_numbers_of_numpy_keep_their_type() -> None:
    back = round_trip([np.float32(1.5), np.int64(3)])
    assert back == [1.5, 3]
    assert [type(item) for item in back] == [np.float32, np.int64]


def test_the_text_is_what_a_person_expects() -> None:
    encoder = Encoder("state")
    value = {"words": ["a", "é"], "best": float("inf"), "size": (1, 2), "weights": np.ones(2)}
    assert to_json(encoder.encode(value)).decode() == (
        '{"words": ["a", "é"], "best": {"$float": "inf"}, "size": {"$tuple": [1, 2]}, '
        '"weights": {"$array": "state-0.npy"}}\n'
    )
    assert list(encoder.files) == ["state-0.npy"]


@pytest.mark.parametrize("value", [object(), {"a": {1, (2, object())}}, [lambda: 0], range(3)])
def test_what_is_not_data_is_refused(value: object) -> None:
    with pytest.raises(SavingError):
        Encoder("state").encode(value)


def test_small_values() -> None:
    assert is_small([1, {"a": [2.0, None]}])
    assert not is_small(list(range(1001)))
    assert not is_small(np.ones(2))
    assert not is_small([object()])
