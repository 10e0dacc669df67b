"""Where a run's trials run: Ray on this machine, or the machines of a cluster as they come and go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from flambe.errors import RunError
from flambe.experiment.interrupt import interruptible
from flambe.trials.protocol import Setting
from flambe_ray.autoscaling import Demand, machine_types
from flambe_ray.cluster import Cluster
from flambe_ray.head import HeadWatch
from flambe_ray.machines import Machines, Node
from flambe_ray.session import Session

ADDRESS = "ray-address"
"""The option of `flambe run` that names a cluster."""

_EVERY_S = 1.0
_FIRST_MACHINE_S = 600.0
"""How long the first machine may take to be started."""
_PATIENCE_S = 10.0
"""After how long a run that waits for a machine says so."""

_log = logging.getLogger("flambe")


class Premises:
    """Ray for one run, and the account of its machines.

    Args:
        devices: What there is to share among trials on this machine; a cluster's machines have their own.

    Attributes:
        machines: Who has what.

    Raises:
        RunError: there is no such cluster, or a machine of it cannot run trials.
    """

    def __init__(self, setting: Setting, devices: Mapping[str, float]) -> None:
        keep = None if "://" in setting.folder else Path(setting.folder, "ray-logs")
        self._session = Session(devices, keep=keep, address=setting.options.get(ADDRESS))
        self._cluster: Cluster | None = None
        self._watch: HeadWatch | None = None
        self._types: list[dict[str, float]] = []
        self._demand = Demand()
        self._looked_at = 0.0
        self._died = False
        self._went_on = time.monotonic()
        self._waits = False
        self.machines = Machines({None: devices})
        if self._session.cluster:
            self._cluster = Cluster(setting.folder)
            self._watch = HeadWatch(self._session.address())
            try:
                self._cluster.start()
                self._types = machine_types()
                self._wait_for_one()
            except BaseException:
                self.close()
                raise
            self.machines = Machines(self._cluster.machines(), self._types)

    def all(self) -> Sequence[Mapping[str, float]]:
        """The devices of each machine that is there, and of each kind that would be started."""
        there = [self.machines.devices_of(node) for node in self.machines.nodes()]
        return [*there, *self._types]

    def look(self, wanted: Callable[[], Iterable[Mapping[str, float]]], *, idle: bool) -> None:
        """Take in which machines have come and gone, and have as many started as the trials want.

        Args:
            wanted: Gives the devices of each trial that runs or could.
            idle: Whether trials wait for a place and none runs.

        Raises:
            RunError: Ray has died on this machine, and no other will come.
        """
        if self._cluster is None:
            if time.monotonic() - self._looked_at > _EVERY_S:
                self._refuse_dead()
        else:
            self._demand.tell(wanted)
            if self._cluster.refresh():
                self.machines.update(self._cluster.machines())
            self._tell(idle=idle)

    def is_lost(self, node: Node) -> bool:
        """Whether the machine has gone; asks Ray now.

        Raises:
            RunError: Ray has died on this machine, and no other will come.
        """
        if self._cluster is None:
            self._refuse_dead()
            return False
        self._cluster.refresh(now=True)
        self.machines.update(self._cluster.machines())
        return node not in self.machines.nodes()

    def close(self, *, troubled: bool = False) -> None:
        """Want nothing more, and leave Ray; with `troubled`, the logs of a Ray of our own are kept."""
        if self._watch is not None:
            self._watch.close()
        if self._cluster is not None:
            self._demand.withdraw()
            self._cluster.close()
        self._session.close(troubled=troubled or self._died)

    def _refuse_dead(self) -> None:
        """Without this, trials would wait for ever for workers that nobody starts."""
        self._looked_at = time.monotonic()
        if not self._session.alive():
            self._died = True
            raise RunError(
                "Ray has died on this machine, perhaps for want of memory; its logs are in the run's folder "
                "(ray-logs). Go on with --resume, with fewer trials at once (devices)"
            )

    def _tell(self, *, idle: bool) -> None:
        """Say so where the run waits for a machine, and when it goes on."""
        now = time.monotonic()
        if not idle:
            self._went_on = now
            if self._waits:
                self._waits = False
                _log.warning("the run goes on: the Ray cluster has room for its trials again")
        elif not self._waits and now - self._went_on > _PATIENCE_S:
            self._waits = True
            _log.warning(
                "the run waits: the Ray cluster has no machine now that has room for its trials; "
                "Ctrl-C ends it, to go on later with --resume"
            )

    def _wait_for_one(self) -> None:
        """Wait for the first machine where only a head is there, which starts others when they are wanted."""
        assert self._cluster is not None
        until, interrupted = time.monotonic() + _FIRST_MACHINE_S, threading.Event()
        with interruptible(interrupted.set):
            while not self._cluster.machines() and not self._types:
                if interrupted.is_set():
                    raise KeyboardInterrupt
                if time.monotonic() > until:
                    raise RunError(
                        f"the Ray cluster has no machine that runs trials, and none has come in "
                        f"{_FIRST_MACHINE_S:g} s; start one, or see what its autoscaler says (ray status)"
                    )
                self._tell(idle=True)
                self._demand.tell(lambda: [{"cpu": 1.0}])
                time.sleep(0.5)
                self._cluster.refresh()
