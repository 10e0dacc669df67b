"""What the autoscaler of a cluster is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flambe_ray.autoscaling import Demand


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All requests, in place of the autoscaler."""
    import ray.autoscaler.sdk

    requests: list[Any] = []
    monkeypatch.setattr(ray.autoscaler.sdk, "request_resources", lambda bundles: requests.append(bundles))
    return requests


def wants(demand: Demand, *shares: Mapping[str, float]) -> None:
    demand.tell(lambda: shares, now=True)


def test_each_trial_is_wanted_with_its_devices_and_nothing_in_the_end(told: list[Any]) -> None:
    demand = Demand()
    wants(demand, {"cpu": 1.0, "gpu": 0.5}, {"cpu": 2.0, "big": 1.0}, {"cpu": 1.0, "gpu": 0.5})
    wants(demand, {"cpu": 2.0, "big": 1.0})
    demand.withdraw()
    half = {"CPU": 1.0, "GPU": 0.5}
    assert told == [[{"big": 1.0, "CPU": 2.0}, half, half], [{"big": 1.0, "CPU": 2.0}], []]


def test_what_has_not_changed_is_not_told_again(told: list[Any]) -> None:
    demand = Demand()
    wants(demand, {"cpu": 1.0}, {"cpu": 2.0})
    wants(demand, {"cpu": 2.0}, {"cpu": 1.0})
    assert len(told) == 1


def test_many_changes_in_a_moment_are_not_told_one_by_one(told: list[Any]) -> None:
    demand = Demand()
    wants(demand, {"cpu": 1.0})
    demand.tell(lambda: [{"cpu": 2.0}])
    assert len(told) == 1


def test_no_more_trials_are_wanted_than_a_cluster_could_run(told: list[Any]) -> None:
    demand = Demand()
    wants(demand, *[{"cpu": 1.0}] * 100_000, {"cpu": 4.0})
    assert len(told[0]) == 1000


def test_without_a_wish_there_is_nothing_to_withdraw(told: list[Any]) -> None:
    Demand().withdraw()
    assert told == []
