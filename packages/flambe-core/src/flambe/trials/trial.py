"""The life of one trial: build, step, checkpoint, save, hand over. The same wherever it runs."""

from __future__ import annotations

import math
import os
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flambe.build.builder import Builder, Surroundings
from flambe.build.links import follow
from flambe.errors import CannotChangeError, LinkError
from flambe.language.links import LinkPath
from flambe.registry.registry import Registry
from flambe.saving.trial_folder import TrialFolder
from flambe.trials.changing import changed, tell
from flambe.trials.frameworks import Framework
from flambe.trials.protocol import (
    Setting,
    TrialTask,
)
from flambe.trials.resources import local_path

Values = Mapping[LinkPath, Any]

_NONE = object()


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What is handed over in place of a linked value that is not there."""

    why: str


class Trial:
    """One variant of one stage, alive.

    Args:
        imports: Gives the linked values of an upstream stage, when they are first needed.

    Attributes:
        step_count: How many steps it has done.
        news: What became of the task's changes, in lines for the trial's log.
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
        self.news: list[str] = []
        self._stepping = False
        self._setting = setting
        self._registry = registry
        self._imports = imports
        self._folder: TrialFolder
        self._frameworks: list[Framework] = []
        self._modes: list[tuple[Framework, Any]] = []
        self._stage: Any = None

    def start(self) -> int:
        """Build the stage with the task's changes, and restore it; returns the step it goes on from.

        Raises:
            CannotChangeError: the stage refuses a change, or the donor has nothing to go on from; the
                trial's folder is as it was.
        """
        self._registry.import_tags(self.task.node)
        node = changed(self.task.node, self.task.changes, self._registry)
        self._folder = TrialFolder(
            self.task.folder, self._registry, node=node, upstream=self.task.upstream, outside=self._outside
        )
        self._frameworks = self._registry.frameworks()
        for framework in self._frameworks:
            self._modes.append((framework, framework.modes()))
            framework.set_threads(self.task.threads)
            framework.seed(self.task.seed)
        builder = Builder(
            self._registry,
            stage=self.task.key.stage,
            outside=self._outside,
            surroundings=Surroundings(
                secrets=self._setting.secrets,
                environment=ChainMap(dict(self._setting.environment), os.environ),
            ),
        )
        self._stage = builder.build(node)
        if self.task.restore == "finished":
            self._folder.load_finished(self._stage)
        else:
            self._go_on()
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
        extra = {"random": random, "changes": dict(self.task.changes)}
        self._folder.write_checkpoint(self._stage, step=self.step_count, extra=extra)

    def save(self) -> None:
        """Store the finished object for people and for later runs."""
        self._folder.write_finished(self._stage)

    def exports(self) -> dict[LinkPath, Any]:
        """The values that later stages link to; an `Unlinked` where a link leads nowhere.

        That is the fault of the link, so the trial that has it fails, and this one and others do not.
        """
        return {path: self._export(path) for path in self.task.exports}

    def _export(self, path: LinkPath) -> Any:
        try:
            return follow(self._stage, path)
        except LinkError as error:
            return Unlinked(str(error))
        except Exception as error:  # noqa: BLE001 - the border to user code: a property of the stage
            return Unlinked(f"{path}: {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Let a stage that is stopped before its time end as it would have, with its best model for one."""
        finish = getattr(self._stage, "finish", None)
        if callable(finish):
            finish()

    def close(self) -> None:
        """Let the stage free what it holds (threads, processes, files) before its time."""
        close = getattr(self._stage, "close", None)
        try:
            if callable(close):
                close()
        finally:
            while self._modes:
                framework, modes = self._modes.pop()
                framework.set_modes(modes)

    def _go_on(self) -> None:
        """Restore what the task says, and tell the stage of changes that the restored state lacks."""
        donor = self.task.donor
        known: Mapping[str, Any] = {}
        if donor is not None:
            known = self._restore_from(donor)
        elif self.task.restore == "checkpoint":
            known = self._restore()
        new = {path: value for path, value in self.task.changes.items() if known.get(path, _NONE) != value}
        tell(self._stage, new)
        if donor is not None:
            self.checkpoint()
        if self.step_count:
            self.news += [f"from step {self.step_count} on: {path} = {value}" for path, value in new.items()]

    def _restore(self) -> Mapping[str, Any]:
        """Go on from the trial's own checkpoint, if it has one; returns the changes that it holds."""
        found = self._folder.load_checkpoint(self._stage)
        if found is None:
            return {}
        self.step_count, extra = found
        for framework in self._frameworks:
            state = extra["random"].get(type(framework).__name__)
            if state is not None:
                framework.set_random_state(state)
        known: Mapping[str, Any] = extra.get("changes", {})
        return known

    def _restore_from(self, donor: str) -> Mapping[str, Any]:
        """Go on from another trial's checkpoint, with random numbers of its own."""
        found = self._folder.load_checkpoint_of(donor, self._stage)
        if found is None:
            raise CannotChangeError(f"{donor} has no checkpoint to go on from")
        self.step_count, extra = found
        self.news.append(f"goes on from step {self.step_count} of {donor}")
        known: Mapping[str, Any] = extra.get("changes", {})
        return known

    def _outside(self, path: LinkPath) -> Any:
        if path.root in self._setting.resources:
            return follow(local_path(self._setting.resources[path.root]), path)
        values = self._imports(path.root)
        for known in (path, LinkPath(path.root, path.steps[:-1])):
            if known in values:
                value = values[known]
                if isinstance(value, Unlinked):
                    raise LinkError(value.why)
                return follow(value, path, start=len(known.steps))
        raise LinkError(f"{path}: its value was not handed over")
