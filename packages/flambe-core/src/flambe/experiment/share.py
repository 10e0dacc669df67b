"""How a run's devices are shared among its trials."""

from __future__ import annotations

from collections.abc import Mapping

from flambe.errors import RunError
from flambe.experiment.settings import Settings
from flambe.variants.space import StageSpace


def devices_of(settings: Settings, total: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What each trial of each stage gets: what the config says, else one core, and a GPU if there is one.

    Raises:
        RunError: a stage asks for more than there is.
    """
    usual = {"cpu": 1.0, **({"gpu": 1.0} if total.get("gpu") else {})}
    shares = {}
    for stage in settings.pipeline:
        share = settings.devices_of(stage)
        shares[stage] = usual if share is None else {"cpu": 1.0, **share}
        for device, wanted in shares[stage].items():
            if wanted > total.get(device, 0.0):
                raise RunError(
                    f"devices: stage {stage} asks for {device}: {wanted:g}, "
                    f"but this machine has {total.get(device, 0.0):g}"
                )
    return shares


def at_once_of(shares: Mapping[str, Mapping[str, float]], total: Mapping[str, float]) -> dict[str, int]:
    """How many trials of each stage the devices have room for; at least 1."""
    return {
        stage: max(1, min(int(total[device] / wanted + 1e-6) for device, wanted in share.items() if wanted))
        for stage, share in shares.items()
    }


def threads_of(
    settings: Settings, spaces: Mapping[str, StageSpace], total: Mapping[str, float]
) -> dict[str, int]:
    """Threads for each trial: the cores it asked for, or the cores over the trials that run beside it.

    A pure function of the config and the machine, so that a rerun computes the same numbers.
    """
    cores = int(total["cpu"])
    width = {stage: _width(stage, settings, spaces) for stage in spaces}
    above = {stage: _ancestors(stage, spaces) for stage in spaces}
    threads = {}
    for stage in spaces:
        share = settings.devices_of(stage)
        if share is not None and "cpu" in share:
            threads[stage] = max(1, int(share["cpu"]))
            continue
        beside = [o for o in spaces if o != stage and o not in above[stage] and stage not in above[o]]
        threads[stage] = max(1, cores // min(cores, width[stage] + sum(width[o] for o in beside)))
    return threads


def _width(stage: str, settings: Settings, spaces: Mapping[str, StageSpace]) -> int:
    """About how many variants the stage has, as far as that can be told before the run; at least 1."""
    if stage in settings.search:
        return 1_000_000
    width = spaces[stage].own_count
    for upstream in spaces[stage].needs:
        kept = settings.reduce.get(upstream)
        width = max(width, width * kept if kept else _width(upstream, settings, spaces))
    return max(1, width)


def _ancestors(stage: str, spaces: Mapping[str, StageSpace]) -> set[str]:
    found: set[str] = set()
    for upstream in spaces[stage].needs:
        found |= {upstream} | _ancestors(upstream, spaces)
    return found
