"""Running a whole trial for an executor's worker, and reporting what happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from flambe.build.builder import add_note
from flambe.build.hidden import Mask
from flambe.errors import FlambeError, SavingError
from flambe.logs import CURRENT, Record, Recorder
from flambe.registry.registry import Registry
from flambe.storage.storage import open_storage
from flambe.trials.capture import Lines, captured
from flambe.trials.once import SHELF, Shelf
from flambe.trials.place import FOLDER
from flambe.trials.protocol import (
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
from flambe.trials.recording import TrialLog
from flambe.trials.tidiness import left_as_found
from flambe.trials.trial import Trial, Values

_MOST_TOLD = 2000
"""So many characters of an exception's message are told wherever it is told."""

CHECKPOINT_SHARE = 0.1
"""Checkpoints may take at most this share of a trial's time, so quick steps are not stored one by one."""


class TrialRunner:
    """Runs whole trials for an executor's worker; made once for each worker and run."""

    def __init__(self, setting: Setting, registry: Registry | None = None) -> None:
        self._setting = setting
        self._registry = registry or Registry.load().with_aliases(setting.header)

    def __call__(self, task: TrialTask, channel: Channel) -> None:
        """Run `task` to its end. What goes wrong is reported as `Failed`, never raised."""
        for _ in self.steps(task, channel):
            pass

    def steps(self, task: TrialTask, channel: Channel) -> Iterator[None]:
        """Runs `task`, and pauses where it is built and after each step, before it looks at the requests.

        For an executor that decides between steps; it goes on in the same thread.
        """
        return _Run(task, self._setting, self._registry, channel).run()


class _Run:
    """One trial and what it reports."""

    def __init__(self, task: TrialTask, setting: Setting, registry: Registry, channel: Channel) -> None:
        self._task = task
        self._channel = channel
        self._mask = Mask(setting.hidden)
        self._log = TrialLog(open_storage(task.folder, registry.storage))
        self._recorder = Recorder()
        self._shelf = Shelf(open_storage(setting.folder, registry.storage))
        self._lines = Lines(self._hand_on)
        self._loaded: dict[str, Values] = {}
        self._trial = Trial(task, setting, registry=registry, imports=self._import)
        self._begun = False
        self._stored_at = time.monotonic()
        self._stored_in = 0.0

    def run(self) -> Iterator[None]:
        token, place = CURRENT.set(self._recorder), FOLDER.set(self._task.folder)
        shelf = SHELF.set(self._shelf)
        try:
            with left_as_found(), captured(self._lines):
                ending = yield from self._live()
            self._hand_on()
            self._channel.emit(ending)
        except Exception as error:  # noqa: BLE001 - the border to user code: whatever it raised belongs to this trial
            add_note(error, f"in stage {self._task.key.stage}, variant {self._task.key.variant}")
            self._fail(
                self._mask(one_line(error)), self._mask(whole_story(error)), refused=self._is_refusal(error)
            )
        finally:
            CURRENT.reset(token)
            FOLDER.reset(place)
            SHELF.reset(shelf)
            self._trial.close()
            self._log.close()

    def _is_refusal(self, error: Exception) -> bool:
        """Whether the trial could not begin with what the task has changed."""
        changed = bool(self._task.changes) or self._task.donor is not None
        return changed and not self._begun and isinstance(error, ValueError | TypeError | SavingError)

    def _fail(self, error: str, story: str, *, refused: bool) -> None:
        with suppress(SavingError):  # the folder may be what failed
            self._hand_on()
            self._log.say(story.splitlines())
            self._log.flush()
        self._channel.emit(Failed(self._task.key, error, story, refused=refused))

    def _live(self) -> Generator[None, None, Event]:
        trial, task = self._trial, self._task
        step = trial.start()
        self._begun = True
        for line in trial.news:
            self._lines.add(line)
        if task.restore != "finished":
            self._log.rewind(step)
        worth = trial.metric() if step and task.restore == "checkpoint" else None
        self._channel.emit(Started(task.key, step, worth, trial.lower_is_better))
        if task.restore == "finished":
            return Finished(task.key, step, None, trial.lower_is_better, self._share())
        self._stored_at = time.monotonic()
        status: Literal["done", "stopped"] = "done"
        while True:
            yield
            if self._channel.interrupt_requested():
                return self._leave()
            if task.stopping or self._channel.stop_requested():
                status = "stopped"
                trial.finish()
                break
            if not self._step():
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
            Stepped(
                self._task.key,
                self._trial.step_count,
                self._trial.metric(),
                stored,
                seconds,
                self._trial.lower_is_better,
            )
        )
        return more

    def _store_if_due(self) -> bool:
        began = time.monotonic()
        due = (began - self._stored_at) * CHECKPOINT_SHARE >= self._stored_in
        if not due and not self._channel.store_requested():
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
    """The exception's type and message, as what any terminal takes; our own errors speak for themselves."""
    text = " ".join(str(error).split()) or "no message"
    text = text.encode("utf-8", "backslashreplace").decode()  # it may name a file that is no UTF-8
    if isinstance(error, FlambeError):
        return text
    if len(text) > _MOST_TOLD:
        text = f"{text[:_MOST_TOLD]}… ({len(text):,} characters; all of them are in log.txt)"
    return f"{type(error).__name__}: {text}"


def whole_story(error: BaseException) -> str:
    """The traceback with its notes, on every Python version."""
    text = "".join(traceback.format_exception(error))
    missing: Iterable[str] = (note for note in getattr(error, "__notes__", ()) if note not in text)
    return text + "".join(f"{note}\n" for note in missing)
