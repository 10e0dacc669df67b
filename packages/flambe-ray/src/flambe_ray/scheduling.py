"""A stage's own Tune scheduler, asked about trials that an executor of ours runs.

Ray grants its schedulers a narrow view of the controller that runs trials: seven names
(`TuneController._wrapped`). Here the executor stands behind these names.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import BasicVariantGenerator

from flambe.logs import Record
from flambe.trials.protocol import Recollection, Stepped, TrialKey, TrialTask
from flambe_ray.courses import Exploit

Judgement: TypeAlias = Literal["go", "pause", "prune"]

METRIC = "metric"
SCORE = "score"
"""The metric, negated where lower is better: what schedulers maximize unless the config names another."""
TIME = "training_iteration"
SECONDS = "time_total_s"
"""What Tune calls the seconds that a trial's steps have taken, for a `time_attr` of the config."""

WORST = -1e30
"""The score of a trial that has no finite metric where others have one."""

_log = logging.getLogger("flambe")


class StageScheduler:
    """Keeps one stage's trials for its scheduler.

    Attributes:
        pruned: Waiting trials that the scheduler has decided against since they were last taken.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler
        self._trials: dict[TrialKey, Trial] = {}
        self._keys: dict[str, TrialKey] = {}
        self._controller: Controller = Controller(self)
        self._measured_from: int | None = None
        self._seconds: Counter[TrialKey] = Counter()
        self._missed: str | None = None
        self._told = False
        self._gone: set[TrialKey] = set()
        self._away: set[TrialKey] = set()
        self.pruned: list[TrialKey] = []

    # -- what the executor tells ----------------------------------------------------------------------------

    def add(self, key: TrialKey, siblings: int) -> None:
        """A trial has been queued, one of `siblings` in all."""
        if not self._trials and hasattr(self._scheduler, "expect"):
            self._scheduler.expect(siblings)
        trial = self._new_trial(key)
        self._trials[key], self._keys[trial.trial_id] = trial, key
        self._scheduler.on_trial_add(self._controller, trial)

    def submitted(self, key: TrialKey, siblings: int) -> Judgement:
        """A trial has been queued; what becomes of it if it comes from an earlier run, else `go`."""
        self._away.discard(key)
        if key in self._gone:
            self._gone.remove(key)
            return "prune"
        if key not in self._trials:
            self.add(key, siblings)
        trial = self._trials[key]
        if trial.status == Trial.PAUSED:
            return "pause"
        trial.set_status(Trial.PENDING)
        return "go"

    def replay(self, past: Recollection) -> None:
        """Go through what an earlier run did, so that the scheduler knows what it knew then.

        Trials that it pruned stay until the scheduler decides against them again.
        """
        last: dict[TrialKey, Stepped] = {}
        for event in past.steps:
            if event.key not in last:
                self.add(event.key, past.siblings)
            last[event.key] = event
            trial = self._trials.get(event.key)
            while trial is not None and trial.status == Trial.PAUSED and self.next_to_resume() is not None:
                pass
            if trial is None or trial.status == Trial.PAUSED:
                continue
            trial.set_status(Trial.RUNNING)
            if self.judge(event, {}) == "prune":
                self._gone.add(event.key)
        self._gone.update(self.pruned)
        self.pruned.clear()
        for key, status in past.ended.items():
            self._gone.discard(key)
            if status != "pruned":
                self.ended(key, last.get(key), {})
        self._away.update(self._trials)  # until they are submitted: somebody may have paused them

    def enlist(self, task: TrialTask) -> tuple[TrialTask, Exploit | None]:
        """The task as the scheduler wants it to begin, and what that changes in the trial."""
        return task, None

    def decided_against(self, key: TrialKey) -> None:
        """The trial was pruned while it was away: it goes on no further, should it be submitted again."""
        self._gone.add(key)

    def away(self, key: TrialKey) -> None:
        """The trial has left, for as long as its user wants: it is neither queued nor waiting."""
        self._away.add(key)
        trial = self._trials.get(key)
        if trial is not None and trial.status == Trial.PENDING:
            trial.set_status(Trial.RUNNING)

    def running(self, key: TrialKey) -> None:
        """The trial has begun, or goes on after a pause."""
        if key in self._trials:
            self._trials[key].set_status(Trial.RUNNING)

    def judge(self, event: Stepped, logged: Mapping[str, float]) -> Judgement:
        """What becomes of a trial after its step."""
        self._seconds[event.key] += event.seconds  # type: ignore[assignment]  # a float, which adds as well
        trial = self._trials.get(event.key)
        result = self._result(event, logged)
        if trial is None or result is None:
            return "go"
        decision = self._scheduler.on_trial_result(self._controller, trial, result)
        trial.update_last_result(result)
        if decision == TrialScheduler.STOP:
            self._forget(event.key, Trial.TERMINATED)
            self._scheduler.on_trial_complete(self._controller, trial, result)
            return "prune"
        if decision == TrialScheduler.PAUSE or trial.status == Trial.PAUSED:
            trial.set_status(Trial.PAUSED)
            return "pause"
        return "go"

    def ended(self, key: TrialKey, last: Stepped | None, logged: Mapping[str, float]) -> None:
        """The trial has ended by itself, or was stopped."""
        self._tell_of_what_is_missed(key.stage)
        trial = self._forget(key, Trial.TERMINATED)
        if trial is None:
            return
        result = self._result(last, logged) if last is not None else None
        if result is None:
            self._scheduler.on_trial_remove(self._controller, trial)
        else:
            self._scheduler.on_trial_complete(self._controller, trial, result)

    def stumbled(self, key: TrialKey, *, pruned: bool) -> None:
        """The trial has failed and may be tried again; until that is known, nothing is decided without it."""
        if key in self._trials:
            self._trials[key].set_status(Trial.PENDING)
        elif pruned:
            self._gone.add(key)

    def failed(self, key: TrialKey) -> None:
        """The trial has failed and is not tried again."""
        self._gone.discard(key)
        trial = self._forget(key, Trial.ERROR)
        if trial is not None:
            self._scheduler.on_trial_error(self._controller, trial)

    # -- what the executor asks -----------------------------------------------------------------------------

    def next_to_resume(self) -> TrialKey | None:
        """The waiting trial that goes on, if one does; it is queued from now on."""
        chosen = self._scheduler.choose_trial_to_run(self._controller)
        if chosen is None or chosen.status != Trial.PAUSED:
            return None
        chosen.set_status(Trial.PENDING)
        return self._keys[chosen.trial_id]

    def wants_checkpoint(self, key: TrialKey, step: int) -> bool:
        """Whether the trial is to store a checkpoint after that step, however quick its steps are."""
        return False

    def take_exploits(self) -> list[tuple[TrialKey, Exploit]]:
        """What the scheduler has changed in trials since this was last asked."""
        return []

    def refused(self, key: TrialKey, exploit: Exploit) -> None:
        """The trial could not be changed, and goes on as it was."""

    def no_more(self) -> None:
        """Nothing runs, and nothing will come before a waiting trial goes on."""
        if hasattr(self._scheduler, "no_more"):
            self._scheduler.no_more(self._controller)

    def step_of(self, key: TrialKey) -> int:
        """How far the scheduler knows the trial to be."""
        trial = self._trials.get(key)
        return 0 if trial is None else int((trial.last_result or {}).get(TIME, 0))

    def waiting(self) -> list[TrialKey]:
        """The trials that wait, in the order in which they were added."""
        return [key for key, trial in self._trials.items() if trial.status == Trial.PAUSED]

    # -- what the scheduler does ----------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """The stage's trials that have not ended."""
        return list(self._trials.values())

    def present(self) -> list[Trial]:
        """Those of them that run or wait for others, and are not away."""
        return [trial for key, trial in self._trials.items() if key not in self._away]

    def _new_trial(self, key: TrialKey) -> Trial:
        """A trial as Tune knows it, with a name of its own."""
        return Trial("flambe", trial_id=f"{len(self._keys):05d}", stub=True)

    def prune(self, trial: Trial) -> None:
        """The scheduler stops a trial that is not the one it was asked about."""
        key = self._keys[trial.trial_id]
        if key in self._trials:
            self._forget(key, Trial.TERMINATED)
            self._scheduler.on_trial_remove(self._controller, trial)
            self.pruned.append(key)

    def _forget(self, key: TrialKey, status: str) -> Trial | None:
        trial = self._trials.pop(key, None)
        if trial is not None:
            trial.set_status(status)
        return trial

    def _result(self, event: Stepped, logged: Mapping[str, float]) -> dict[str, Any] | None:
        """What Tune calls a result; None where it would lack what the scheduler looks at.

        A trial that has no finite metric is the worst where others have had one at its step.
        """
        metric = math.nan if event.metric is None else event.metric
        score = -metric if event.lower_is_better else metric
        shown = {**logged, METRIC: metric, SCORE: score, TIME: event.step, SECONDS: self._seconds[event.key]}
        looked_at, time = self._scheduler.metric, getattr(self._scheduler, "_time_attr", TIME)
        self._missed = next((name for name in (looked_at, time) if name and name not in shown), None)
        if self._missed is not None:
            return None
        if looked_at is not None and not math.isfinite(shown[looked_at]):
            if self._measured_from is None or event.step < self._measured_from:
                return None
            shown[looked_at] = -WORST if getattr(self._scheduler, "_mode", "max") == "min" else WORST
        elif looked_at is not None:
            self._measured_from = min(event.step, self._measured_from or event.step)
        return {**shown, "done": False}

    def _tell_of_what_is_missed(self, stage: str) -> None:
        """Say once that the scheduler looks at what nobody logs."""
        if self._missed is not None and self._measured_from is None and not self._told:
            self._told = True
            _log.warning(
                "schedulers.%s: no trial has logged %r, which the scheduler looks at, so it decides nothing; "
                "leave it out, and the stage's own metric and steps are taken",
                stage,
                self._missed,
            )


class Controller:
    """The names that Tune grants a scheduler. All trials are those of the scheduler's own stage."""

    def __init__(self, stage: StageScheduler) -> None:
        self._stage = stage
        self.search_alg = BasicVariantGenerator()

    def get_trials(self) -> list[Trial]:
        return self._stage.trials()

    def get_live_trials(self) -> set[Trial]:
        return set(self._stage.present())

    def stop_trial(self, trial: Trial) -> None:
        self._stage.prune(trial)

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:
        del should_checkpoint  # a trial always leaves with a checkpoint
        trial.set_status(Trial.PAUSED)

    def _set_trial_status(self, trial: Trial, status: str) -> None:
        trial.set_status(status)


def scalars(records: Iterable[Record]) -> dict[str, float]:
    """The numbers among what a trial logged, by name."""
    return {
        record.name: float(record.value)
        for record in records
        if isinstance(record.value, (int, float)) and not isinstance(record.value, bool)
    }
