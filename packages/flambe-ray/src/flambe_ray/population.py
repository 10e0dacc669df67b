"""Schedulers that change trials while they run: population-based training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray.train._internal.session import _TrainingResult
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from flambe.errors import RunError
from flambe.language import nodes
from flambe.registry.registry import Registry
from flambe.trials.changing import NOT_GIVEN, places
from flambe.trials.protocol import Recollection, Stepped, TrialKey, TrialTask
from flambe_ray.courses import Exploit
from flambe_ray.mutations import plain
from flambe_ray.randomness import Randomness
from flambe_ray.scheduling import TIME, Controller, Judgement, StageScheduler


@dataclass(frozen=True)
class Mark:
    """Stands for a trial's newest checkpoint, which lies in the trial's own folder."""

    trial_id: str

    def resolve(self) -> Any:
        """The checkpoint is there already: trials store one at each step where they may be judged."""
        return _TrainingResult(checkpoint=self, metrics={})


class Member(Trial):  # type: ignore[misc]  # Ray comes without types
    """A trial of a population, as Tune knows it.

    Args:
        policies: The folder for Tune's own record of what was changed; None to keep none.
    """

    def __init__(self, name: str, config: dict[str, Any], policies: Path | None) -> None:
        super().__init__("flambe", trial_id=name, stub=True, config=config)
        self._policies = policies
        self.keep_own_state()

    @property
    def local_experiment_path(self) -> str:
        assert self._policies is not None, "log_config is off"
        self._policies.mkdir(parents=True, exist_ok=True)
        return str(self._policies)

    def donor(self) -> str | None:
        """The trial whose state this one is to go on from, by its name here; None for its own."""
        found: str = self.checkpoint.trial_id
        return None if found == self.trial_id else found

    def keep_own_state(self) -> None:
        """Its checkpoint is its own, from now on."""
        result = _TrainingResult(checkpoint=Mark(self.trial_id), metrics={})
        self.run_metadata.checkpoint_manager._latest_checkpoint_result = result


class Population(StageScheduler):
    """Keeps one stage's trials for a scheduler that gives them new values, and others' states.

    The values of a trial are those of its variant, or what it was told since; arguments that neither
    the config nor their defaults give are drawn by the scheduler. All of them are among the changes of
    the trial's task from the start, so a stage that refuses one of them says so before it trains.

    Args:
        paths: The arguments that may change, by their path in the stage.
        policies: The folder for Tune's own record of what was changed.
    """

    def __init__(
        self,
        scheduler: TrialScheduler,
        *,
        paths: Sequence[str],
        registry: Registry,
        seed: int,
        policies: Path | None = None,
    ) -> None:
        super().__init__(scheduler)
        self._controller = PopulationController(self)
        self._paths = paths
        self._registry = registry
        self._randomness = Randomness(seed)
        self._policies = policies
        self._folders: dict[TrialKey, str] = {}
        self._values: dict[TrialKey, dict[str, Any]] = {}
        self._before: dict[TrialKey, dict[str, Any]] = {}
        self._unfit: set[tuple[TrialKey, TrialKey]] = set()
        self._exploits: list[tuple[TrialKey, Exploit]] = []
        self._resumed: set[TrialKey] = set()

    # -- what the executor tells ----------------------------------------------------------------------------

    def enlist(self, task: TrialTask) -> tuple[TrialTask, Exploit | None]:
        key = task.key
        given = {path: value for path in self._paths if (value := self._given(task, path)) is not None}
        self._folders[key] = task.folder
        self._values[key] = given
        if key not in self._trials:
            self.add(key, task.siblings)
        trial = self._trials[key]
        drawn = {path: plain(value) for path, value in trial.config.items() if path not in given}
        if self._decides:
            drawn = {path: value for path, value in trial.config.items() if given.get(path) != value}
        self._values[key] = {**given, **drawn}
        trial.set_config(dict(self._values[key]))
        changes = {**task.changes, **{path: given[path] for path in given if path not in task.changes}}
        return replace(task, changes=changes), Exploit(drawn) if drawn else None

    def replay(self, past: Recollection) -> None:
        """Take in how far an earlier run's trials were; who went on from whom is not decided again.

        Their values come with the tasks that are submitted.
        """
        if not isinstance(self._scheduler, PopulationBasedTraining):
            super().replay(past)
            self._exploits.clear()
            return
        last: dict[TrialKey, Stepped] = {}
        for event in past.steps:
            if event.key not in last:
                self.add(event.key, past.siblings)
            last[event.key] = event
            self._note_past(event)
        for key in past.ended:
            self.ended(key, last.get(key), {})
        self._catch_up()
        self._away.update(self._trials)

    def judge(self, event: Stepped, logged: Mapping[str, float]) -> Judgement:
        self._offer_all()
        with self._randomness.instead(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bandit's Gaussian process says what nobody can change
            judgement = super().judge(event, logged)
        for trial in self.trials():
            self._collect(trial)
        return judgement

    def running(self, key: TrialKey) -> None:
        super().running(key)
        self._resumed.discard(key)

    def next_to_resume(self) -> TrialKey | None:
        """Where all are trained together, all go on at once after an exchange.

        Else one has to run again before the next is chosen, so that those that are behind come first.
        """
        queued = [self._trials[key] for key in self._resumed if key in self._trials]
        if not getattr(self._scheduler, "_synch", False):
            queued = []
        for trial in queued:
            trial.set_status(Trial.RUNNING)
        chosen = super().next_to_resume()
        for trial in queued:
            trial.set_status(Trial.PENDING)
        if chosen is not None:
            self._resumed.add(chosen)
        return chosen

    def refused(self, key: TrialKey, exploit: Exploit) -> None:
        if exploit.donor is not None:
            self._unfit.add((key, exploit.donor))
        self._revert(key)

    def take_exploits(self) -> list[tuple[TrialKey, Exploit]]:
        taken, self._exploits = self._exploits, []
        return taken

    def wants_checkpoint(self, key: TrialKey, step: int) -> bool:
        """Where a trial is judged it may become a donor, so its state is stored there."""
        scheduler, trial = self._scheduler, self._trials.get(key)
        if trial is None or not isinstance(scheduler, PopulationBasedTraining):
            return False
        if scheduler._time_attr != TIME:
            return True
        since = step - scheduler._trial_state[trial].last_perturbation_time
        return bool(step >= scheduler._burn_in_period and since >= scheduler._perturbation_interval)

    # -- what the scheduler has decided ---------------------------------------------------------------------

    def _new_trial(self, key: TrialKey) -> Trial:
        name = key.variant if key.variant not in self._keys else f"{key.variant}~{len(self._keys)}"
        given = {} if self._decides else self._values.get(key, {})  # a record says how its trial begins
        return Member(name, dict(given), self._policies)

    def add(self, key: TrialKey, siblings: int) -> None:
        if self._decides and (siblings > 1 or self._keys):
            raise RunError(
                f"schedulers.{key.stage}: a record is gone through by one trial, but the stage has {siblings}"
            )
        with self._randomness.instead():
            super().add(key, siblings)

    def _offer_all(self) -> None:
        """Whoever was judged has a checkpoint; Tune counts on those alone that were the best just then."""
        if isinstance(self._scheduler, PopulationBasedTraining):
            for trial in self.trials():
                state = self._scheduler._trial_state[trial]
                state.last_checkpoint = None if state.last_score is None else Mark(trial.trial_id)

    def _collect(self, trial: Member) -> None:
        """Notes what the scheduler has changed in a trial since the last time."""
        key = self._keys[trial.trial_id]
        values = {path: plain(value) for path, value in trial.config.items()}
        name = trial.donor()
        trial.keep_own_state()
        donor = None if name is None else self._keys[name]
        if donor is None and values == self._values.get(key, values):
            return
        self._before[key] = self._values.get(key, {})
        self._values[key] = values
        if donor is not None and (key, donor) in self._unfit:
            self._revert(key)
            return
        self._exploits.append((key, Exploit(values, donor, self._folders.get(donor) if donor else None)))

    def _revert(self, key: TrialKey) -> None:
        if key in self._before:
            self._values[key] = self._before.pop(key)
        if key in self._trials:
            self._trials[key].set_config(dict(self._values[key]))

    @property
    def _decides(self) -> bool:
        """Whether the scheduler's values win over those of the variant: it goes through a record."""
        return not isinstance(self._scheduler, PopulationBasedTraining)

    def _given(self, task: TrialTask, path: str) -> Any:
        """The argument's value: what it was changed to, what the variant says, or its default."""
        if path in task.changes:
            return task.changes[path]
        (place,) = places(task.node, path, self._registry)
        if isinstance(place.node, nodes.Scalar):
            return place.node.value
        return None if place.node is not None or place.default is NOT_GIVEN else place.default

    # -- what an earlier run did ----------------------------------------------------------------------------

    def _note_past(self, event: Stepped) -> None:
        trial, result = self._trials[event.key], self._result(event, {})
        if result is None:
            return
        trial.update_last_result(result)
        trial.set_status(Trial.RUNNING)
        if self.wants_checkpoint(event.key, event.step):
            state = self._scheduler._trial_state[trial]
            PopulationBasedTraining._save_trial_state(self._scheduler, state, event.step, result, trial)
            state.last_perturbation_time = event.step

    def _catch_up(self) -> None:
        """Where all are trained together: who has come to the next exchange waits there again."""
        scheduler, live = self._scheduler, self.trials()
        if not scheduler._synch or not live:
            return
        times = [scheduler._trial_state[trial].last_train_time for trial in live]
        while min(times) >= scheduler._next_perturbation_sync:
            scheduler._next_perturbation_sync += scheduler._perturbation_interval
        for trial, time in zip(live, times, strict=True):
            if time >= scheduler._next_perturbation_sync:
                trial.set_status(Trial.PAUSED)


class PopulationController(Controller):
    """The names that Tune grants a scheduler which changes trials."""

    def _schedule_trial_save(self, trial: Member, result: Any = None) -> Mark:
        """The trial's newest checkpoint: it was stored with the step that the scheduler looks at."""
        del result
        return Mark(trial.trial_id)
