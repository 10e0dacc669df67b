"""The schedulers of stages, built from the config with what the stages already say."""

from __future__ import annotations

from typing import Any

from flambe.errors import RunError
from flambe.registry.registry import Registry
from flambe.trials.protocol import Setting, StageBrief
from flambe_ray.populations import POPULATIONS, population_of
from flambe_ray.scheduling import StageScheduler
from flambe_ray.tune_objects import Planned


def schedulers_of(setting: Setting, registry: Registry) -> dict[str, StageScheduler]:
    """The schedulers that the config asks for, by stage.

    Raises:
        RunError: a scheduler cannot be used on its stage.
    """
    return {
        stage: _scheduler(stage, brief, setting, registry)
        for stage, brief in setting.stages.items()
        if brief.scheduler is not None
    }


def _scheduler(stage: str, brief: StageBrief, setting: Setting, registry: Registry) -> StageScheduler:
    plan = Planned(registry, setting, path=("schedulers", stage), node=brief.scheduler)
    if plan.name == "ResourceChangingScheduler":
        raise RunError(
            f"schedulers.{stage}: {plan.name} gives running trials other devices; "
            "here 'devices' settles them before a trial begins"
        )
    if plan.name in POPULATIONS:
        return population_of(stage, brief, setting, registry, plan)
    more: dict[str, Any] = {}
    if brief.max_steps is not None:
        more["max_t"] = brief.max_steps
        if plan.name == "MedianStoppingRule":  # Ray's default are 60 seconds
            more["grace_period"] = max(1, brief.max_steps // 10)
    elif "max_t" in plan.parameters and "max_t" not in plan.given:
        raise RunError(
            f"schedulers.{stage}: give max_t, the most steps of a trial; stage {stage} has no max_steps"
        )
    return StageScheduler(plan.build(plan.from_the_stage(more)))
