"""What every place that runs trials is equipped with: the runner, and a channel that keeps its promises."""

from __future__ import annotations

import importlib
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from flambe.errors import RunError
from flambe.executors.handover import Packing, Reducer
from flambe.language.links import LinkPath
from flambe.trials.protocol import Channel, Event, Failed, Finished, Handle, Left, Runner, Setting, TrialTask


class Workshop(NamedTuple):
    """What runs trials in one process, made once and used for one trial after the other."""

    run: Runner
    reducers: Callable[[], Iterable[Reducer]] = tuple


Equip: TypeAlias = Callable[[Setting], Workshop]
"""Makes the workshop of a process; an executor for several processes finds it by its module and name."""


@dataclass(frozen=True)
class Prepare:
    """What a new process that runs trials is told. `main` leads to the user's own script, if needed."""

    setting: Setting
    equip: Equip
    main: Mapping[str, Any] | None = None


def prepared(order: Prepare) -> Workshop:
    """Import what trials need. What cannot be imported is reported by the trials that need it."""
    try:
        if order.main is not None:
            _import_main(order.main)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's script
        told = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
        reason = (
            f"a worker process cannot import your script: {told}; what the script does, beside defining "
            "classes and functions, belongs under `if __name__ == '__main__':`"
        )
        return Workshop(_Refusal(RunError(reason)))
    for module in order.setting.modules:
        with suppress(Exception, SystemExit):
            importlib.import_module(module)
    try:
        return order.equip(order.setting)
    except Exception as error:  # noqa: BLE001  # plugins take part
        return Workshop(_Refusal(error))


def refuse_during_import() -> None:
    """Refuse to run an experiment where a worker process only imports the script that runs it.

    Raises:
        RunError: this is such a place.
    """
    module = sys.modules.get("multiprocessing.process")
    if module is not None and getattr(module.current_process(), "_inheriting", False):
        raise RunError("it runs an experiment when it is imported")


def main_script(setting: Setting) -> Mapping[str, Any] | None:
    """How a fresh process finds the script that this one runs, if trials need classes that it defines."""
    if "__main__" not in setting.modules:
        return None
    from multiprocessing import spawn

    data = spawn.get_preparation_data("flambe")
    wanted = ("sys_argv", "dir", "orig_dir", "init_main_from_name", "init_main_from_path")
    return {key: data[key] for key in wanted if key in data}


def equip(setting: Setting) -> Workshop:
    """The workshop that runs the trials of a config."""
    from flambe.registry.registry import Registry
    from flambe.trials.runner import TrialRunner

    registry = Registry.load().with_aliases(setting.header)
    return Workshop(TrialRunner(setting, registry), registry.codecs)


class _Refusal:
    """Fails every trial for the reason that nothing can be run here."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, task: TrialTask, channel: Channel) -> None:
        raise self._error


class TrialChannel(ABC):
    """The channel of one trial; knows whether the trial has ended."""

    def __init__(self, task: TrialTask, hand_over: Packing) -> None:
        self.key = task.key
        self.ended = False
        self._hand_over = hand_over

    def emit(self, event: Event) -> None:
        self.ended = self.ended or isinstance(event, Finished | Left | Failed)
        self.send(event)

    @abstractmethod
    def send(self, event: Event) -> None:
        """Bring the event to the driver."""

    @abstractmethod
    def stop_requested(self) -> bool: ...

    @abstractmethod
    def interrupt_requested(self) -> bool: ...

    def store_requested(self) -> bool:
        return False

    def output(self) -> Sequence[str]:
        return ()

    def load(self, handle: Handle) -> Mapping[LinkPath, Any]:
        return self._hand_over.unpack(handle)

    def share(self, values: Mapping[LinkPath, Any]) -> Handle:
        return self._hand_over.pack(values)


def run_trial(run: Runner, task: TrialTask, channel: TrialChannel) -> None:
    """Run a trial so that it ends with exactly one last event, whatever the runner and user code do."""
    try:
        run(task, channel)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the runner itself, or sys.exit()
        if not channel.ended:
            told = f"{type(error).__name__}: {error}"
            channel.emit(Failed(task.key, told, "".join(traceback.format_exception(error))))
    if not channel.ended:
        channel.emit(Failed(task.key, "the trial ended without a result", ""))


def _import_main(main: Mapping[str, Any]) -> None:
    from multiprocessing import process, spawn

    current: Any = process.current_process()
    current._inheriting = True  # as in multiprocessing; `refuse_during_import` looks for it
    try:
        spawn.prepare(dict(main))
    finally:
        del current._inheriting
