"""The life of one trial: build, step, checkpoint, save, hand over. The same wherever it runs."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from flambe.build.builder import Builder, Surroundings, add_note
from flambe.build.hidden import Mask
from flambe.build.links import follow
from flambe.errors import FlambeError, LinkError, SavingError
from flambe.executors.protocol import (
    Channel,
    Event,
    Failed,
    Finished,
    Handle,
    Left,
    Logged,
    Setting,
    Started,
    Stepped,
    TrialTask,
)
from flambe.experiment.capture import Lines, captured
from flambe.experiment.frameworks import Framework
from flambe.experiment.resources import local_path
from flambe.experiment.trial_log import TrialLog
from flambe.language.links import LinkPath
from flambe.log import CURRENT, Record, Recorder
from flambe.registry.registry import Registry
from flambe.saving.storage import open_storage
from flambe.saving.trial_folder import TrialFolder

Values = Mapping[LinkPath, Any]

CHECKPOINT_SHARE = 0.1
"""Checkpoints may take at most this share of a trial's time, so quick steps are not stored one by one."""


class Trial:
    """One variant of one stage, alive.

    Args:
        imports: Gives the linked values of an upstream stage, when they are first needed.
    """

    def __init__(
        self,
        task: TrialTask,
        setting: Setting,
        *,
        registry: Registry,
        imports: Callable[[str], Values],
    ) -> None:
        self.task = task
        self.step_count = 0
        self._stepping = False
        self._setting = setting
        self._registry = registry
        self._imports = imports
        self._folder = TrialFolder(
            task.folder, registry, node=task.node, upstream=task.upstream, outside=self._outside
        )
        self._frameworks: list[Framework] = []
        self._stage: Any = None

    def start(self) -> int:
        """Build the stage, and restore it if the task says so; returns the step it goes on from."""
        self._registry.import_tags(self.task.node)
        self._frameworks = self._registry.frameworks()
        for framework in self._frameworks:
            framework.set_threads(self.task.threads)
            framework.seed(self.task.seed)
        builder = Builder(
            self._registry,
            stage=self.task.key.stage,
            outside=self._outside,
            surroundings=Surroundings(secrets=self._setting.secrets),
        )
        self._stage = builder.build(self.task.node)
        if self.task.restore == "finished":
            self._folder.load_finished(self._stage)
        elif self.task.restore == "checkpoint":
            self._restore()
        return self.step_count

    def step(self) -> bool:
        """One unit of work; returns whether there is more. A stage without `step()` has none to do."""
        step = getattr(self._stage, "step", None)
        if step is None:
            return False
        self._stepping = True
        more = bool(step())
        self._stepping = False
        self.step_count += 1
        return more

    @property
    def current_step(self) -> int:
        """The number of the step that is under way, counted from 1, or of the last one when none is."""
        return self.step_count + self._stepping

    def metric(self) -> float | None:
        """What ranks the trial, or None: no `metric()`, or it has no finite value yet."""
        metric = getattr(self._stage, "metric", None)
        value = metric() if callable(metric) else None
        if value is None:
            return None
        number = float(value)
        return number if math.isfinite(number) else None

    @property
    def lower_is_better(self) -> bool:
        return bool(getattr(self._stage, "lower_is_better", False))

    def checkpoint(self) -> None:
        """Store everything that going on from here needs."""
        random = {type(f).__name__: f.random_state() for f in self._frameworks}
        self._folder.write_checkpoint(self._stage, step=self.step_count, extra={"random": random})

    def save(self) -> None:
        """Store the finished object for people and for later runs."""
        self._folder.write_finished(self._stage)

    def exports(self) -> dict[LinkPath, Any]:
        """The values that later stages link to."""
        return {path: follow(self._stage, path) for path in self.task.exports}

    def close(self) -> None:
        """Let the stage free what it holds (threads, processes, files) before its time."""
        close = getattr(self._stage, "close", None)
        if callable(close):
            close()

    def _restore(self) -> None:
        found = self._folder.load_checkpoint(self._stage)
        if found is None:
            return
        self.step_count, extra = found
        for framework in self._frameworks:
            state = extra["random"].get(type(framework).__name__)
            if state is not None:
                framework.set_random_state(state)

    def _outside(self, path: LinkPath) -> Any:
        if path.root in self._setting.resources:
            return follow(local_path(self._setting.resources[path.root]), path)
        values = self._imports(path.root)
        for known in (path, LinkPath(path.root, path.steps[:-1])):
            if known in values:
                return follow(values[known], path, start=len(known.steps))
        raise LinkError(f"{path}: its value was not handed over")


class TrialRunner:
    """Runs whole trials for an executor's worker; made once for each worker and run."""

    def __init__(self, setting: Setting, registry: Registry | None = None) -> None:
        self._setting = setting
        self._registry = registry or Registry.load().with_aliases(setting.header)

    def __call__(self, task: TrialTask, channel: Channel) -> None:
        """Run `task` to its end. What goes wrong is reported as `Failed`, never raised."""
        _Run(task, self._setting, self._registry, channel).run()


class _Run:
    """One trial and what it reports."""

    def __init__(self, task: TrialTask, setting: Setting, registry: Registry, channel: Channel) -> None:
        self._task = task
        self._channel = channel
        self._mask = Mask(setting.hidden)
        self._log = TrialLog(open_storage(task.folder, registry.storage))
        self._recorder = Recorder()
        self._lines = Lines(self._hand_on)
        self._loaded: dict[str, Values] = {}
        self._trial = Trial(task, setting, registry=registry, imports=self._import)
        self._stored_at = time.monotonic()
        self._stored_in = 0.0

    def run(self) -> None:
        token = CURRENT.set(self._recorder)
        try:
            with captured(self._lines):
                ending = self._live()
            self._hand_on()
            self._channel.emit(ending)
        except Exception as error:  # noqa: BLE001 - the border to user code: whatever it raised belongs to this trial
            add_note(error, f"in stage {self._task.key.stage}, variant {self._task.key.variant}")
            self._fail(self._mask(one_line(error)), self._mask(whole_story(error)))
        finally:
            CURRENT.reset(token)
            self._trial.close()
            self._log.close()

    def _fail(self, error: str, story: str) -> None:
        with suppress(SavingError):  # the folder may be what failed
            self._hand_on()
            self._log.say(story.splitlines())
            self._log.flush()
        self._channel.emit(Failed(self._task.key, error, story))

    def _live(self) -> Event:
        trial, task = self._trial, self._task
        step = trial.start()
        if task.restore != "finished":
            self._log.rewind(step)
        self._channel.emit(Started(task.key, step))
        if task.restore == "finished":
            return Finished(task.key, step, None, trial.lower_is_better, self._share())
        self._stored_at = time.monotonic()
        status: Literal["done", "stopped"] = "done"
        while self._step():
            if self._channel.interrupt_requested():
                return self._leave()
            if self._channel.stop_requested():
                status = "stopped"
                break
        metric = trial.metric()
        trial.save()
        return Finished(
            task.key,
            trial.step_count,
            metric,
            trial.lower_is_better,
            self._share(),
            "done" if status == "done" else "stopped",
        )

    def _step(self) -> bool:
        began, before = time.monotonic(), self._trial.step_count
        more = self._trial.step()
        if self._trial.step_count == before:
            return False
        seconds = time.monotonic() - began
        self._hand_on()
        stored = more and self._store_if_due()
        self._channel.emit(
            Stepped(self._task.key, self._trial.step_count, self._trial.metric(), stored, seconds)
        )
        return more

    def _store_if_due(self) -> bool:
        began = time.monotonic()
        if (began - self._stored_at) * CHECKPOINT_SHARE < self._stored_in:
            return False
        self._log.flush()
        self._trial.checkpoint()
        self._stored_at = time.monotonic()
        self._stored_in = self._stored_at - began
        return True

    def _leave(self) -> Event:
        self._hand_on()
        self._log.flush()
        self._trial.checkpoint()
        return Left(self._task.key, self._trial.step_count)

    def _hand_on(self) -> None:
        records = [self._masked(record) for record in self._recorder.take()]
        lines = [self._mask(line) for line in (*self._channel.output(), *self._lines.take())]
        if not records and not lines:
            return
        if self._task.restore != "finished":
            self._log.add(self._trial.current_step, records)
            self._log.say(lines)
        self._channel.emit(Logged(self._task.key, records, lines))

    def _masked(self, record: Record) -> Record:
        return replace(record, value=self._mask(record.value)) if isinstance(record.value, str) else record

    def _import(self, stage: str) -> Values:
        if stage not in self._loaded:
            self._loaded[stage] = self._channel.load(self._task.imports[stage])
        return self._loaded[stage]

    def _share(self) -> Handle:
        return self._channel.share(self._trial.exports()) if self._task.exports else None


def one_line(error: BaseException) -> str:
    """The exception's type and message; our own errors speak for themselves."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, FlambeError) else f"{type(error).__name__}: {text}"


def whole_story(error: BaseException) -> str:
    """The traceback with its notes, on every Python version."""
    text = "".join(traceback.format_exception(error))
    missing: Iterable[str] = (note for note in getattr(error, "__notes__", ()) if note not in text)
    return text + "".join(f"{note}\n" for note in missing)
