"""A cluster that comes and goes: which machines there are, which of them can run the trials of this run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from secrets import token_hex
from typing import Any

from flambe.errors import FlambeError, RunError
from flambe.registry.registry import Registry
from flambe.storage.storage import Storage, open_storage
from flambe_ray.machines import Node, devices_from

_EVERY_S = 1.0
_PATIENCE_S = 120.0
"""How long a machine may take to answer at the start; one that comes later is asked beside the run."""

_AGAIN_S = 60.0
"""After how long a machine that could not run trials is asked again."""

_PACKAGE = "flambe-core"


@dataclass(frozen=True)
class Answer:
    """What a machine says of itself: the version of Flambé there, and whether it sees the run's folder."""

    version: str
    sees: bool
    reason: str = ""


class Cluster:
    """The machines of a Ray cluster that can run trials of this run.

    A machine can if it has the same Flambé, and sees the run's folder: trials write there and go on from
    there. One that joins later is asked before it is used, and again each minute where it could not: it may
    have been mended. One that has gone is dropped.

    Args:
        folder: The path or URL of the run's folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._mark = f".seen-{token_hex(4)}"
        self._fit: dict[str, dict[str, float]] = {}
        self._asked: dict[str, Any] = {}
        self._unfit: dict[str, tuple[str, float]] = {}
        self._looked_at = 0.0

    def start(self) -> None:
        """Ask all machines at once.

        Raises:
            RunError: one of them cannot run trials; the message says what to do.
        """
        import ray

        with _storage(self._folder) as storage:
            storage.write(self._mark, b"seen\n", durable=False)
        there = self._there()
        for node, about in there.items():
            self._ask(node, about)
        if self._asked:
            ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=_PATIENCE_S)
        for node, problem in self._answers(there).items():
            if problem is not None:
                raise RunError(f"machine {_name(there[node])} of the Ray cluster {problem}")

    def machines(self) -> Mapping[Node, Mapping[str, float]]:
        """The devices of each machine that can run trials now."""
        return {node: devices for node, devices in self._fit.items()}  # noqa: C416  # keys may be None

    def refresh(self, *, now: bool = False) -> bool:
        """Look who has come and gone, if that was not done just before; whether anything has changed."""
        if not now and time.monotonic() - self._looked_at < _EVERY_S:
            return False
        there = self._there()
        before = set(self._fit)
        for node in before - there.keys():
            del self._fit[node]
        self._asked = {node: call for node, call in self._asked.items() if node in there}
        self._unfit = {node: told for node, told in self._unfit.items() if node in there}
        for node in there.keys() - self._fit.keys() - self._asked.keys():
            if node not in self._unfit or self._looked_at - self._unfit[node][1] > _AGAIN_S:
                self._ask(node, there[node])
        for node, problem in self._answers(there).items():
            told, _ = self._unfit.pop(node, (None, 0.0))
            if problem is None:
                continue
            self._unfit[node] = problem, self._looked_at
            if problem != told:
                logging.getLogger("flambe").warning(
                    "machine %s is not used: it %s", _name(there[node]), problem
                )
        return before != set(self._fit)

    def close(self) -> None:
        with _storage(self._folder) as storage:
            storage.remove(self._mark)

    def _there(self) -> dict[str, Any]:
        import ray

        self._looked_at = time.monotonic()
        return {about["NodeID"]: about for about in ray.nodes() if about["Alive"]}

    def _ask(self, node: str, about: Mapping[str, Any]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if not devices_from(about["Resources"]):  # a head that only directs
            return
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked = ray.remote(look).options(num_cpus=0, max_retries=1, scheduling_strategy=there)
        self._asked[node] = asked.remote(self._folder, self._mark)

    def _answers(self, there: Mapping[str, Any]) -> dict[str, str | None]:
        """What is wrong with each machine that has answered since the last call, or None."""
        import ray

        if not self._asked:
            return {}
        ready, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=0)
        problems: dict[str, str | None] = {}
        for node in [node for node, call in self._asked.items() if call in ready]:
            problems[node] = self._problem(self._asked.pop(node))
            if problems[node] is None:
                self._fit[node] = devices_from(there[node]["Resources"])
        return problems

    def _problem(self, call: Any) -> str | None:
        import ray

        try:
            answer: Answer = ray.get(call)
        except Exception as error:  # noqa: BLE001  # whatever is missing there
            told = " ".join(str(getattr(error, "cause", None) or error).split())
            return f"cannot run trials: {told}; install the same packages there"
        own = metadata.version(_PACKAGE)
        if answer.version != own:
            return f"has {_PACKAGE} {answer.version}, this one {own}; install the same version there"
        if not answer.sees:
            return (
                f"does not see {self._folder}{answer.reason}, where trials keep their results; give a "
                "save_path on a disk that all machines share, or a URL such as s3://bucket/folder"
            )
        return None


def look(folder: str, mark: str) -> Answer:
    """Answers for the machine that it runs on."""
    version = metadata.version(_PACKAGE)
    try:
        with _storage(folder) as storage:
            return Answer(version, storage.exists(mark))
    except FlambeError as error:
        return Answer(version, False, f": {error}")


@contextmanager
def _storage(folder: str) -> Iterator[Storage]:
    with closing(open_storage(folder, Registry.load().storage)) as storage:
        yield storage


def _name(about: Mapping[str, Any]) -> str:
    return f"{about['NodeManagerHostname']} ({about['NodeManagerAddress']})"
