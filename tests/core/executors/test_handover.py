from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.errors import HandOverError
from flambe.executors.handover import LARGE_BYTES, Bundle, HandOver
from flambe.executors.segment import Segment
from flambe.language.links import parse_link

LARGE = LARGE_BYTES // 8


def hand_over(**values: Any) -> dict[str, Any]:
    """What a later trial gets."""
    bundle = HandOver().pack({parse_link(f"up.{name}"): value for name, value in values.items()})
    unpacked = {str(path)[3:]: value for path, value in HandOver().unpack(bundle).items()}
    bundle.close()
    return unpacked


def test_plain_values_travel_without_memory_or_pickle() -> None:
    bundle = HandOver().pack({parse_link("up.a"): 1, parse_link("up.b"): "two", parse_link("up.c"): None})
    assert bundle == Bundle({parse_link("up.a"): 1, parse_link("up.b"): "two", parse_link("up.c"): None})


def test_nothing_is_mapped_for_plain_values() -> None:
    path, numbers = parse_link("up.size"), parse_link("up.numbers")
    bundle = HandOver().pack({path: 3, numbers: np.zeros(LARGE)})
    bundle.segments[0].close()  # what is mapped from now on fails
    values = HandOver().unpack(bundle)
    assert values[path] == 3
    assert set(values) == {path, numbers}
    assert numbers in values
    with pytest.raises(HandOverError, match="the shared memory was released"):
        values[numbers]


def test_large_arrays_come_out_read_only_and_equal() -> None:
    numbers = np.arange(float(LARGE))
    taken = hand_over(numbers=numbers)["numbers"]
    assert np.array_equal(taken, numbers)
    with pytest.raises(ValueError, match="read-only"):
        taken[0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE flag to True"):
        taken.flags.writeable = True


def test_small_arrays_come_out_as_copies_to_write_to() -> None:
    numbers = np.zeros(LARGE - 1)
    taken = hand_over(numbers=numbers)["numbers"]
    taken[0] = 1
    assert numbers[0] == 0


def test_what_the_maker_does_later_is_not_seen() -> None:
    numbers = np.zeros(LARGE)
    bundle = HandOver().pack({parse_link("up.numbers"): numbers})
    numbers[:] = 1
    assert HandOver().unpack(bundle)[parse_link("up.numbers")].sum() == 0
    bundle.close()


def test_receivers_share_no_object() -> None:
    bundle = HandOver().pack({parse_link("up.items"): [1, 2]})
    first, second = (HandOver().unpack(bundle)[parse_link("up.items")] for _ in range(2))
    first.append(3)
    assert second == [1, 2]


def test_sharing_inside_a_bundle_is_kept() -> None:
    items = [1]
    taken = hand_over(items=items, box={"items": items})
    assert taken["box"]["items"] is taken["items"]


def test_values_stay_valid_when_the_bundle_is_closed() -> None:
    taken = hand_over(numbers=np.arange(float(LARGE)))["numbers"]
    assert taken.sum() == sum(range(LARGE))


def test_a_large_pickle_lies_in_shared_memory() -> None:
    words = [f"word {index}" for index in range(20_000)]
    bundle = HandOver().pack({parse_link("up.words"): words})
    assert not isinstance(bundle.pickled, bytes)
    assert HandOver().unpack(bundle)[parse_link("up.words")] == words
    bundle.close()


def test_what_is_handed_on_unchanged_is_not_stored_again() -> None:
    path = parse_link("up.numbers")
    first = HandOver().pack({path: np.arange(float(2 * LARGE))})
    between = HandOver()
    half = between.unpack(first)[path][LARGE:]
    second = between.pack({parse_link("next.half"): half, parse_link("next.new"): np.ones(LARGE)})
    assert [inode(segment) == inode(first.segments[0]) for segment in second.segments] == [True, False]
    first.close()
    assert np.array_equal(HandOver().unpack(second)[parse_link("next.half")], np.arange(LARGE, 2.0 * LARGE))
    second.close()


def test_what_was_written_to_is_stored_anew() -> None:
    path = parse_link("up.numbers")
    first = HandOver().pack({path: np.zeros(LARGE)})
    between = HandOver()
    numbers = between.unpack(first)[path]  # a framework's view of it may not know that it is read-only
    ctypes.c_double.from_address(numbers.ctypes.data).value = 7.0
    second = between.pack({parse_link("next.numbers"): numbers})
    assert HandOver().unpack(first)[path][0] == 0, "the write stayed private"
    assert HandOver().unpack(second)[parse_link("next.numbers")][0] == 7
    assert inode(second.segments[0]) != inode(first.segments[0])
    first.close()
    second.close()


def test_a_codec_says_how_its_objects_travel() -> None:
    class Reversing:
        def reduce(self, value: object) -> Any:
            return (sorted, ([3, 2, 1],)) if isinstance(value, complex) else NotImplemented

    bundle = HandOver(lambda: [Reversing()]).pack({parse_link("up.number"): [1j]})
    assert HandOver().unpack(bundle)[parse_link("up.number")] == [[1, 2, 3]]


class Grumpy:
    def __getstate__(self) -> Any:
        raise RuntimeError("no")


class Sour:
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("not here")

    def __getstate__(self) -> Any:
        return {"some": "state"}


def local_class() -> Any:
    class Inner:
        pass

    return Inner


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            [lambda: None],
            f"the function '{__name__}.<lambda>', which cannot be imported by that name; "
            "define it at the top level of a module",
        ),
        (
            local_class()(),
            f"the class '{__name__}.local_class.<locals>.Inner', which cannot be imported by that name; "
            "define it at the top level of a module",
        ),
        (
            {"deep": [threading.Lock()]},
            "an object of type '_thread.lock' (TypeError: cannot pickle '_thread.lock' object); "
            "leave it out in the __getstate__ of what holds it, or link to a part without it",
        ),
        (
            Grumpy(),
            f"an object of type '{__name__}.Grumpy' (RuntimeError: no); "
            "leave it out in the __getstate__ of what holds it, or link to a part without it",
        ),
    ],
)
def test_what_cannot_travel_is_named_with_its_path(value: Any, reason: str) -> None:
    with pytest.raises(HandOverError) as caught:
        HandOver().pack({parse_link("up.good"): [1], parse_link("up.parts[bad]"): value})
    assert (
        str(caught.value)
        == f"stage 'up': up.parts[bad] cannot be handed to another process, it holds {reason}"
    )


def test_what_fails_at_the_receiver_names_the_stage() -> None:
    bundle = HandOver().pack({parse_link("up.sour"): Sour()})
    with pytest.raises(HandOverError) as caught:
        HandOver().unpack(bundle)[parse_link("up.sour")]
    assert str(caught.value) == "the linked values of stage 'up' cannot be taken over: RuntimeError: not here"


def test_no_room_in_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, chunk: Any, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(HandOverError) as caught:
        HandOver().pack({parse_link("up.numbers"): np.zeros(1_000_000)})
    assert str(caught.value) == (
        "the linked values of stage 'up' need 8.0 MB of shared memory, which cannot be had: "
        "[Errno 28] No space left on device"
    )
    assert os.listdir("/proc/self/fd") == before


def nested() -> st.SearchStrategy[Any]:
    arrays = st.builds(lambda n, v: np.full(n, v), st.integers(0, 3 * LARGE), st.integers(0, 9))
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False), arrays)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), nested(), max_size=4))
def test_whatever_is_handed_over_is_equal(values: dict[str, Any]) -> None:
    taken = hand_over(**values)
    assert sorted(taken) == sorted(values)
    for name, value in values.items():
        np.testing.assert_equal(taken[name], value)


def inode(segment: Segment) -> int:
    return os.fstat(segment.source.fd).st_ino


@pytest.fixture(autouse=True)
def no_descriptor_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()  # mappings hold descriptors until their arrays are gone
    left = {fd for fd in set(os.listdir("/proc/self/fd")) - before if "memfd" in link_of(fd)}
    assert left == set()


def link_of(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
