"""What `flambe check` warns of: schedulers and search algorithms that are of no use to each other."""

from __future__ import annotations

from collections.abc import Iterator

from flambe.check.advice import Advice, StageUnderCheck

_WAITING = ("HyperBandScheduler", "HyperBandForBOHB")
"""Schedulers under which no variant ends before all have begun."""

_LEARNING_AT_ONCE = ("BasicVariantGenerator", "TuneBOHB")
"""Algorithms that draw at random, or learn from trials that go on."""

_CHANGING = ("PB2", "PopulationBasedTraining")


def warn_of(stage: str, found: StageUnderCheck) -> Iterator[Advice]:
    """The pairings of a stage that are known to gain nothing."""
    scheduler = _name(found.scheduler)
    search = _name(found.search)
    if scheduler in _WAITING and search is not None and search not in _LEARNING_AT_ONCE:
        yield Advice(
            "schedulers",
            f"under {scheduler} no variant ends before all have begun, so {search} chooses them all without "
            "knowing what came of any; take !tune.ASHAScheduler, or !tune.TuneBOHB for the search",
        )
    if scheduler in _CHANGING and search not in (None, "BasicVariantGenerator"):
        yield Advice(
            "schedulers",
            f"{scheduler} changes what {search} has chosen, and {search} never hears of it; leave out one of "
            "the two",
        )
    if scheduler is not None and scheduler != "FIFOScheduler":
        gain = f"so {scheduler} has nothing to stop early"
        if not found.steps:
            yield Advice("schedulers", f"stage {stage!r} has no step(), {gain}")
        elif found.max_steps == 1:
            yield Advice("schedulers", f"stage {stage!r} takes one step, {gain}")


def _name(cls: type | None) -> str | None:
    """The name of a class of Tune; other classes may do as they like."""
    return cls.__name__ if cls is not None and cls.__module__.startswith("ray.tune.") else None
