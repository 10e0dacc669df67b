from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.executors.devices import Devices, available, gpu_ids


def test_shares_fit_as_often_as_they_promise() -> None:
    for share, times in ((0.1, 10), (1 / 3, 3), (1 / 6, 6), (0.7, 1), (0.29, 3), (1.0, 1)):
        devices = Devices({"cpu": 1, "gpu": 1})
        for _ in range(times):
            assert devices.take({"cpu": share, "gpu": share}) is not None
        assert devices.take({"cpu": share, "gpu": share}) is None


def test_parts_of_gpus_are_packed_so_that_whole_ones_stay_free() -> None:
    devices = Devices({"gpu": 3})
    first, second, third = (devices.take({"gpu": 0.5}) for _ in range(3))
    whole = devices.take({"gpu": 1})
    assert first is not None
    assert second is not None
    assert third is not None
    assert whole is not None
    assert (first.gpus, second.gpus, third.gpus, whole.gpus) == ((0,), (0,), (1,), (2,))
    assert devices.take({"gpu": 1}) is None
    devices.give_back(third)
    assert devices.take({"gpu": 1}) is not None


def test_several_gpus_are_whole_ones() -> None:
    devices = Devices({"gpu": 3})
    devices.take({"gpu": 0.2})
    both = devices.take({"gpu": 2})
    assert both is not None
    assert both.gpus == (1, 2)


def test_what_is_set_aside_is_out_of_reach() -> None:
    devices = Devices({"cpu": 4, "gpu": 2})
    devices.take({"cpu": 1, "gpu": 0.5})
    devices.earmark({"cpu": 2, "gpu": 1})
    assert devices.take({"gpu": 1}) is None
    assert devices.take({"cpu": 2}) is None
    assert devices.take({"cpu": 1, "gpu": 0.5}) is not None
    assert not devices.copy().exhausted() or devices.exhausted()


@pytest.mark.parametrize(
    ("shares", "problem"),
    [
        ({"cpu": 2.0, "gpu": 2.0}, None),
        ({"cpu": 0.0}, None),
        ({"cpu": 2.5}, "the trial asks for cpu: 2.5, and this run has cpu: 2"),
        ({"gpu": 1.5}, "the trial asks for gpu: 1.5; a share of more than one GPU is a whole number"),
        ({"npu": 1.0}, "the trial asks for npu: 1, and this run has npu: 0"),
        ({"cpu": -1.0}, "a trial cannot have cpu: -1.0; give a number that is not negative"),
        ({"cpu": float("nan")}, "a trial cannot have cpu: nan; give a number that is not negative"),
    ],
)
def test_what_nobody_can_get_is_said(shares: dict[str, float], problem: str | None) -> None:
    assert Devices({"cpu": 2, "gpu": 2}).problem(shares) == problem


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0])),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_is_taken_never_exceeds_the_total(asked: list[tuple[float, float]], random: object) -> None:
    devices = Devices({"cpu": 3, "gpu": 2})
    held = []
    for cpu, gpu in asked:
        share = devices.take({"cpu": cpu, "gpu": gpu})
        if share is not None:
            held.append((cpu, gpu, share))
        elif held and random.random() < 0.7:  # type: ignore[attr-defined]
            devices.give_back(held.pop(0)[2])
        assert sum(cpu for cpu, _, _ in held) <= 3
        for index in range(2):
            assert sum(min(gpu, 1) for _, gpu, share in held if index in share.gpus) <= 1 + 1e-9
    for _, _, share in held:
        devices.give_back(share)
    assert devices.take({"cpu": 3, "gpu": 2}) is not None


@pytest.mark.parametrize(
    ("visible", "ids"), [("", []), ("0,3", ["0", "3"]), ("-1", []), ("GPU-5a,GPU-6b", ["GPU-5a", "GPU-6b"])]
)
def test_gpus_are_those_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str, ids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_ids() == ids
    assert available()["gpu"] == len(ids)


def test_processors_are_those_of_this_process() -> None:
    assert 1 <= available()["cpu"] <= (os.cpu_count() or 1)
