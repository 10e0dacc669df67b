"""The account of several machines."""

from __future__ import annotations

import pytest

from flambe_ray.machines import Machines, Place, devices_from

ONE_CPU = {"cpu": 1.0}


def nodes(places: list[Place | None]) -> list[str | None]:
    return ["-" if place is None else place.node for place in places]


def test_a_share_lies_on_one_machine() -> None:
    machines = Machines({"a": {"cpu": 2.0}, "b": {"cpu": 1.0, "gpu": 1.0}})
    half = {"cpu": 0.5, "gpu": 0.5}
    assert nodes([machines.take(share) for share in (half, half, half)]) == ["b", "b", "-"]
    assert machines.take({"cpu": 3.0}) is None
    assert machines.problem({"cpu": 3.0}) == (
        "the trial asks for cpu: 3, and no machine of the cluster has that much"
    )
    assert machines.problem({"cpu": 2.0}) is None


def test_trials_are_spread_over_the_machines_unless_one_is_nearer() -> None:
    machines = Machines({"a": {"cpu": 3.0}, "b": {"cpu": 2.0}})
    assert nodes([machines.take(ONE_CPU) for _ in range(4)]) == ["a", "b", "a", "b"]
    machines = Machines({"a": {"cpu": 3.0}, "b": {"cpu": 2.0}})
    assert nodes([machines.take(ONE_CPU, near=lambda node: node == "b") for _ in range(3)]) == ["b", "b", "a"]


def test_a_machine_that_has_gone_takes_its_shares_with_it() -> None:
    machines = Machines({"a": {"cpu": 1.0}})
    place = machines.take(ONE_CPU)
    assert place is not None
    machines.update({"b": {"cpu": 1.0}})
    machines.give_back(place)
    assert nodes([machines.take(ONE_CPU), machines.take(ONE_CPU)]) == ["b", "-"]


def test_a_machine_that_stays_keeps_its_shares() -> None:
    machines = Machines({"a": {"cpu": 1.0}})
    machines.take(ONE_CPU)
    machines.update({"a": {"cpu": 1.0}, "b": {"cpu": 1.0}})
    assert nodes([machines.take(ONE_CPU), machines.take(ONE_CPU)]) == ["b", "-"]


def test_what_a_trial_waits_for_is_set_aside_on_the_machine_that_lacks_least() -> None:
    machines = Machines({"a": {"cpu": 4.0}, "b": {"cpu": 4.0}})
    for amount, node in ((3.0, "a"), (1.0, "b")):
        machines.take({"cpu": amount}, near=lambda other, node=node: other == node)
    trial = machines.copy()
    trial.earmark({"cpu": 4.0})
    assert nodes([trial.take({"cpu": 1.0}), trial.take({"cpu": 1.0})]) == ["a", "-"]
    assert nodes([machines.take({"cpu": 3.0})]) == ["b"]


def test_what_could_be_started_is_no_problem_but_cannot_be_taken() -> None:
    machines = Machines({}, types=[{"cpu": 4.0, "gpu": 1.0}])
    assert machines.problem({"cpu": 1.0, "gpu": 1.0}) is None
    assert machines.take(ONE_CPU) is None
    assert machines.exhausted()


@pytest.mark.parametrize(
    ("resources", "devices"),
    [
        ({"CPU": 2.0, "node:10.0.0.1": 1.0, "memory": 1e9, "object_store_memory": 1e8}, {"cpu": 2.0}),
        ({"GPU": 1, "accelerator_type:A100": 1.0, "disk": 3.0}, {"gpu": 1.0, "disk": 3.0}),
        ({"node:__internal_head__": 1.0, "CPU": 0.0}, {}),
    ],
)
def test_devices_are_read_from_what_ray_tells(resources: dict[str, float], devices: dict[str, float]) -> None:
    assert devices_from(resources) == devices


def test_a_trial_that_only_a_machine_that_has_gone_had_room_for_may_wait_for_it() -> None:
    machines = Machines({"a": {"cpu": 4.0}})
    machines.update({})
    assert machines.problem({"cpu": 4.0}) is None
    assert machines.problem({"cpu": 5.0}) is not None
    assert machines.take({"cpu": 4.0}) is None
    machines.update({"b": {"cpu": 4.0}})
    place = machines.take({"cpu": 4.0})
    assert place is not None
    assert place.node == "b"
