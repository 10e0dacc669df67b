"""What the Ray executor knows of each trial that was submitted and has not ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flambe.trials.protocol import Changed, Stepped, TrialKey, TrialTask
from flambe_ray.worker import Verdict

if TYPE_CHECKING:
    from flambe_ray.machines import Place
    from flambe_ray.workers import Slot

Wish: TypeAlias = Literal["stop", "prune", "leave", "make room", "change"]

VERDICTS: Mapping[Wish, Verdict] = {
    "stop": "stop",
    "prune": "stop",
    "leave": "leave",
    "make room": "leave",
    "change": "leave",
}
LASTING: frozenset[Wish] = frozenset({"stop", "prune", "leave"})
"""What ends a trial for this executor; after the others it goes on here."""


@dataclass(frozen=True)
class Exploit:
    """What a scheduler changes in a trial: new values by path, and the trial whose state it goes on from."""

    values: Mapping[str, Any]
    donor: TrialKey | None = None
    folder: str | None = None


@dataclass(eq=False)
class Course:
    """A submitted trial that has not ended.

    Attributes:
        wish: What it is to do instead of its next step.
        waiting: Its scheduler lets it wait; with a slot it does so in its worker, else in its checkpoint.
        begun: A worker has had it.
        exploit: What its scheduler has changed; it is applied when a worker takes the trial the next time.
    """

    task: TrialTask
    slot: Slot | None = None
    place: Place | None = None
    wish: Wish | None = None
    waiting: bool = False
    begun: bool = False
    last: Stepped | None = None
    step: int = 0
    logged: dict[str, float] = field(default_factory=dict)
    exploit: Exploit | None = None

    def to_begin(self) -> TrialTask:
        """The task for a worker, with what a scheduler has changed."""
        if self.exploit is None:
            return self.task
        changes = {**self.task.changes, **self.exploit.values}
        restore = "checkpoint" if self.exploit.donor is not None else self.task.restore
        return replace(self.task, changes=changes, donor=self.exploit.folder, restore=restore)

    def changed(self, step: int) -> Changed | None:
        """Takes in that the trial goes on from `step`; what was changed with that, if anything was."""
        self.step = step
        if self.exploit is None:
            return None
        exploit, self.exploit = self.exploit, None
        self.task = replace(self.task, changes={**self.task.changes, **exploit.values})
        self.last = None
        donor = None if exploit.donor is None else exploit.donor.variant
        key = self.task.key
        return Changed(key, step, dict(exploit.values), f"schedulers.{key.stage}", donor)


class Clock:
    """How long there is still to wait."""

    def __init__(self, timeout_s: float | None) -> None:
        self._until = None if timeout_s is None else time.monotonic() + timeout_s

    def left(self) -> float:
        return float("inf") if self._until is None else max(0.0, self._until - time.monotonic())

    def over(self) -> bool:
        return self.left() <= 0
