"""What a run's trials want, told to the autoscaler of a Ray cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from flambe_ray.machines import devices_from

_EVERY_S = 1.0
_MOST_BUNDLES = 1000
"""More trials than this are not wanted at the same time, however many there are."""

_NAMES = {"cpu": "CPU", "gpu": "GPU"}


class Demand:
    """Tells Ray's autoscaler which devices the trials of this run could use at the same time.

    A cluster without an autoscaler does nothing about it. What was told stays until it is withdrawn.
    """

    def __init__(self) -> None:
        self._told: list[dict[str, float]] = []
        self._told_at = 0.0

    def tell(self, shares: Callable[[], Iterable[Mapping[str, float]]], *, now: bool = False) -> None:
        """Ask for room for trials with these shares, running ones included, unless that was just done."""
        if not now and time.monotonic() - self._told_at < _EVERY_S:
            return
        bundles = _bundles(shares())
        self._told_at = time.monotonic()
        if bundles == self._told:
            return
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)
        self._told = bundles

    def withdraw(self) -> None:
        """Want nothing more: machines that idle may go."""
        self.tell(tuple, now=True)


def machine_types() -> list[dict[str, float]]:
    """The devices of the machines that the cluster's autoscaler may start, where it tells Ray."""
    with suppress(Exception):  # not a part of Ray's stable interface: without it only what is there counts
        from ray._private.state import state

        config: Any = state.get_cluster_config()
        groups = [] if config is None else config.node_group_configs
        return [devices_from(dict(group.resources)) for group in groups if group.max_count]
    return []


def _bundles(shares: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """The shares in Ray's terms, in an order of their own."""
    counted = Counter(tuple(sorted(share.items())) for share in shares)
    bundles: list[dict[str, float]] = []
    for share, count in sorted(counted.items()):
        wanted = {_NAMES.get(kind, kind): amount for kind, amount in share if amount}
        bundles += [wanted] * min(count, _MOST_BUNDLES - len(bundles))
    return bundles
