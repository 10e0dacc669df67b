"""More samples for a stage of a run that is going, or of one that will be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flambe.experiment.stage_run import StageRun


def problem_of_extending(stages: Mapping[str, StageRun], name: str, samples: int | None) -> str | None:
    """Why the stage cannot get so many samples more, or None if it can."""
    stage = stages.get(name)
    if stage is None:
        return f"the run has no stage {name!r}; it has {', '.join(stages)}"
    if not isinstance(samples, int) or samples < 1:
        return f"{samples} samples more is nothing to add; give a number of at least 1"
    if not stage.extendable:
        return f"stage {name} has no search and no distributions to draw from"
    if stage.searching is not None and stage.searching.exhausted:
        return f"the search of stage {name} has tried everything there is"
    for later in (name, *_after(stages, name)):
        if stages[later].chosen is not None:
            return f"the variants of stage {later} that flow on after its `reduce` are chosen already"
    return None


def extendable(stages: Mapping[str, StageRun]) -> list[str]:
    """The stages that could get more samples."""
    return [name for name, stage in stages.items() if stage.extendable]


def _after(stages: Mapping[str, StageRun], name: str) -> Iterator[str]:
    for consumer in stages[name].consumers:
        yield consumer
        yield from _after(stages, consumer)
