"""How a run's devices are shared among its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from flambe.errors import RunError
from flambe.experiment.settings import Settings
from flambe.variants.space import StageSpace

Machines: TypeAlias = Sequence[Mapping[str, float]]
"""The devices of each machine that trials may run on."""


def devices_of(settings: Settings, machines: Machines) -> dict[str, dict[str, float]]:
    """What each trial of each stage gets: what the config says, else one core, and a GPU if there is one.

    Raises:
        RunError: a stage asks for more than a machine has.
    """
    most = {device: max(m.get(device, 0.0) for m in machines) for m in machines for device in m}
    usual = {"cpu": 1.0, **({"gpu": 1.0} if most.get("gpu") else {})}
    whose = "this machine has" if len(machines) == 1 else "no machine of the cluster has more than"
    shares = {}
    for stage in settings.pipeline:
        share = settings.devices_of(stage)
        shares[stage] = usual if share is None else {"cpu": 1.0, **share}
        for device, wanted in shares[stage].items():
            if wanted > most.get(device, 0.0):
                raise RunError(
                    f"devices: stage {stage} asks for {device}: {wanted:g}, "
                    f"but {whose} {most.get(device, 0.0):g}"
                )
    return shares


def at_once(share: Mapping[str, float], machines: Machines) -> int:
    """How many trials with this share the machines have room for; at least 1."""
    wanted = {device: amount for device, amount in share.items() if amount}
    room = (min(int(m.get(device, 0.0) / wanted[device] + 1e-6) for device in wanted) for m in machines)
    return max(1, sum(room))


def cores(machines: Machines) -> int:
    """The cores of the smallest machine that has any: no trial gets more threads than a machine has."""
    return max(1, int(min((m["cpu"] for m in machines if m.get("cpu")), default=1)))


def threads_wanted(environment: Mapping[str, str]) -> int | None:
    """The most threads that the user wants numeric libraries to use: OMP_NUM_THREADS, if it says."""
    first = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def threads_of(
    settings: Settings, spaces: Mapping[str, StageSpace], cores: int, *, most: int | None = None
) -> dict[str, int]:
    """Threads for each trial: the cores it asked for, or `cores` over the trials that run beside it.

    A pure function of its arguments, so that a rerun computes the same numbers; `most` limits what no stage
    asked for.
    """
    width = {stage: _width(stage, settings, spaces) for stage in spaces}
    above = {stage: _ancestors(stage, spaces) for stage in spaces}
    threads = {}
    for stage in spaces:
        share = settings.devices_of(stage)
        if share is not None and "cpu" in share:
            threads[stage] = max(1, int(share["cpu"]))
            continue
        beside = [o for o in spaces if o != stage and o not in above[stage] and stage not in above[o]]
        share_of_cores = cores // min(cores, width[stage] + sum(width[o] for o in beside))
        threads[stage] = max(1, min(share_of_cores, most or share_of_cores))
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
