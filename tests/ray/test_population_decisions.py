"""What a population decides, without trials that run: exploits, values, checkpoints, what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from flambe.errors import RunError
from flambe.language import nodes
from flambe.language.nodes import Entry, Scalar
from flambe.registry.registry import Registry
from flambe.trials.protocol import Recollection, Stepped, TrialKey, TrialTask
from flambe_ray.courses import Exploit
from flambe_ray.mutations import bounds_of, mutations_of
from flambe_ray.population import Population
from flambe_ray.scheduling import METRIC, TIME

REGISTRY = Registry.load()
TAG = "flambe.testing.stages:Tunable"


def task(variant: str, **arguments: Any) -> TrialTask:
    entries = tuple(Entry(name, Scalar(value)) for name, value in arguments.items())
    return TrialTask(
        key=TrialKey("train", variant),
        node=nodes.Build(TAG, nodes.Mapping(entries)),
        exports=(),
        imports={},
        seed=1,
        devices={},
        threads=1,
        folder=f"/run/train/{variant}",
        fingerprint="",
        siblings=4,
    )


def population(seed: int = 1, **options: Any) -> Population:
    given = {"perturbation_interval": 4, "hyperparam_mutations": {"rate": [1.0, 2.0, 4.0, 8.0]}, **options}
    scheduler = PopulationBasedTraining(time_attr=TIME, metric=METRIC, mode="max", log_config=False, **given)
    return Population(scheduler, paths=list(given["hyperparam_mutations"]), registry=REGISTRY, seed=seed)


def begun(members: Population, **rates: float) -> dict[str, TrialTask]:
    """Enlists trials and has them run; the tasks they begin with."""
    begun = {}
    for variant, rate in rates.items():
        begun[variant], _ = members.enlist(task(variant, rate=rate))
        members.submitted(begun[variant].key, 4)
        members.running(begun[variant].key)
    return begun


def step(members: Population, variant: str, number: int, metric: float) -> str:
    return members.judge(Stepped(TrialKey("train", variant), number, metric, True, 0.0), {})


def climb(members: Population, until: int = 4, variants: str = "abcd") -> list[tuple[TrialKey, Exploit]]:
    """Steps all of them, one after the other; `a` is the worst, `d` the best."""
    for variant in variants:
        for number in range(until - 3, until + 1):
            step(members, variant, number, "abcd".index(variant) + 0.1 * number)
    return members.take_exploits()


def test_an_exchange_does_not_wait_for_one_that_somebody_has_paused() -> None:
    members = population(synch=True)
    begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
    members.away(TrialKey("train", "b"))
    for variant in "acd":
        assert members.next_to_resume() is None
        step(members, variant, 4, "abcd".index(variant))
    assert members.next_to_resume() is not None


def test_an_exchange_does_not_wait_for_one_that_was_paused_before_a_resume() -> None:
    members = population(synch=True)
    keys = {variant: TrialKey("train", variant) for variant in "abcd"}
    past = [Stepped(key, 2, 1.0, True, 0.0) for key in keys.values()]
    members.replay(Recollection("train", past, {}, siblings=4))
    begun(members, a=8.0, c=2.0, d=1.0)
    for variant in "acd":
        assert members.next_to_resume() is None
        step(members, variant, 4, "abcd".index(variant))
    assert members.next_to_resume() is not None


def test_the_worst_goes_on_from_the_best_with_a_neighbouring_value() -> None:
    members = population()
    begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
    assert climb(members) == [], "each was the best of those that had come so far"
    ((key, exploit),) = climb(members, 8, "a")
    assert key == TrialKey("train", "a")
    assert exploit.donor == TrialKey("train", "d")
    assert exploit.folder == "/run/train/d"
    assert exploit.values["rate"] in (1.0, 2.0, 4.0, 8.0)
    assert members.waiting() == [key]
    assert members.next_to_resume() == key


def test_a_donor_need_not_have_been_the_best_when_it_was_judged() -> None:
    members = population()
    begun(members, a=8.0, c=2.0, d=1.0)
    climb(members, variants="dc")
    members.next_to_resume()
    members.running(TrialKey("train", "c"))
    members.ended(TrialKey("train", "d"), None, {})
    ((_, exploit),) = climb(members, variants="a")
    assert exploit.donor == TrialKey("train", "c")


def test_together_all_wait_for_the_last_one() -> None:
    members = population(synch=True)
    begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
    assert climb(members, variants="bcd") == []
    assert [key.variant for key in members.waiting()] == ["b", "c", "d"]
    assert members.next_to_resume() is None
    ((key, exploit),) = climb(members, variants="a")
    assert (key.variant, exploit.donor) == ("a", TrialKey("train", "d"))
    resumed = [key.variant for _ in range(4) if (key := members.next_to_resume())]
    assert sorted(resumed) == ["a", "b", "c", "d"]


def test_decisions_follow_from_the_seed() -> None:
    def values(seed: int) -> list[Any]:
        members = population(seed, hyperparam_mutations={"rate": tune.uniform(0.0, 9.0)})
        begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
        climb(members)
        found = []
        for number in (8, 12, 16):
            step(members, "a", number, 0.0)
            ((key, exploit),) = members.take_exploits()
            members.running(key)
            found.append(exploit.values)
        return found

    assert values(1) == values(1)
    assert values(1) != values(2)


def test_a_checkpoint_is_stored_where_a_trial_is_judged() -> None:
    members = population(burn_in_period=6)
    begun(members, a=8.0)
    key = TrialKey("train", "a")
    assert [number for number in range(1, 8) if members.wants_checkpoint(key, number)] == [6, 7]
    for number in range(1, 7):
        step(members, "a", number, 1.0)
    assert [number for number in range(7, 12) if members.wants_checkpoint(key, number)] == [10, 11]


def test_a_trial_that_could_not_be_changed_keeps_its_values_and_is_left_alone_with_that_donor() -> None:
    members = population()
    begun(members, a=8.0, d=1.0)
    climb(members, variants="ad")
    ((key, exploit),) = climb(members, 8, "a")
    members.refused(key, exploit)
    again, nothing = members.enlist(task("a", rate=8.0))
    assert again.changes == {"rate": 8.0}
    assert nothing is None
    members.running(key)
    assert climb(members, 12, "da") == []


# -- values -------------------------------------------------------------------------------------------------


def test_a_trial_begins_with_its_variants_values_and_with_defaults() -> None:
    members = population(hyperparam_mutations={"rate": [1.0, 3.0], "seconds": [0.0, 1.0]})
    enlisted, drawn = members.enlist(task("a", rate=3.0))
    assert enlisted.changes == {"rate": 3.0, "seconds": 0.0}
    assert drawn is None


def test_what_a_user_has_changed_is_what_the_scheduler_goes_on_with() -> None:
    members = population()
    begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
    members.away(TrialKey("train", "d"))
    members.enlist(replace(task("d", rate=1.0), changes={"rate": 5.0}))
    assert [trial.config for trial in members.trials()] == [{"rate": rate} for rate in (8.0, 4.0, 2.0, 5.0)]
    assert members.take_exploits() == []


@pytest.mark.parametrize(
    ("distribution", "before", "after"),
    [
        (("uniform", 1.0, 3.0), 3.6, 3.0),
        (("uniform", 1.0, 3.0), 1.23456789, 1.23457),
        (("uniform", 1.0, 1.2345678), 1.23456789, 1.2345678),
        (("loguniform", 1.0, 3.0), 0.8, 1.0),
        (("randint", 1, 4), 5, 3),
        (("quniform", 0.0, 1.0, 0.25), 0.6, 0.5),
        (("normal", 0.0, 1.0), 7.0, 7.0),
    ],
)
def test_what_leaves_a_distributions_range_is_brought_back(
    distribution: tuple[Any, ...], before: float, after: float
) -> None:
    name, *numbers = distribution
    node = nodes.Distribution(name, tuple(Scalar(number) for number in numbers))
    found = mutations_of(nodes.Mapping((Entry("rate", node),)), "k")
    assert found["rate"].fit(before) == after
    assert type(found["rate"].fit(before)) is type(after)


def test_paths_may_be_nested() -> None:
    inside = nodes.Mapping((Entry("lr", nodes.Sequence((Scalar(1), Scalar(2)))),))
    assert bounds_of(nodes.Mapping((Entry("optimizer", inside),)), "k") == {"optimizer.lr": [1.0, 2.0]}
    with pytest.raises(RunError, match=r"^k: give a mapping of paths in the stage"):
        mutations_of(Scalar(3), "k")


# -- an earlier run -----------------------------------------------------------------------------------------


def steps(variant: str, until: int, slope: float) -> list[Stepped]:
    key = TrialKey("train", variant)
    return [Stepped(key, number, slope * number, True, 0.0) for number in range(1, until + 1)]


def test_after_a_resume_the_next_exchange_knows_what_all_are_worth() -> None:
    members = population()
    past = [*steps("a", 7, 1.0), *steps("b", 7, 2.0), *steps("c", 7, 3.0), *steps("d", 7, 4.0)]
    members.replay(Recollection("train", past, {}, siblings=4))
    assert members.take_exploits() == []
    begun(members, a=8.0, b=4.0, c=2.0, d=1.0)
    step(members, "d", 8, 32.0)
    step(members, "a", 8, 8.0)
    ((key, exploit),) = members.take_exploits()
    assert (key.variant, exploit.donor) == ("a", TrialKey("train", "d"))


def test_who_waited_for_the_others_waits_again() -> None:
    members = population(synch=True)
    past = [*steps("a", 4, 1.0), *steps("b", 4, 2.0), *steps("c", 2, 3.0)]
    members.replay(Recollection("train", past, {}, siblings=3))
    for variant in "abc":
        members.enlist(task(variant, rate=1.0))
    told = {variant: members.submitted(TrialKey("train", variant), 3) for variant in "abc"}
    assert told == {"a": "pause", "b": "pause", "c": "go"}


def test_who_has_ended_gives_nothing() -> None:
    members = population()
    past = [*steps("a", 4, 1.0), *steps("d", 4, 4.0)]
    members.replay(Recollection("train", past, {TrialKey("train", "d"): "done"}, siblings=2))
    begun(members, a=8.0)
    step(members, "a", 8, 8.0)
    assert members.take_exploits() == []
