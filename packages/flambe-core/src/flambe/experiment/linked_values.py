"""The linked values of finished trials: brought back when an earlier run made them, freed when unneeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flambe.executors.protocol import Executor
from flambe.experiment.stage_run import StageRun, upstream_keys
from flambe.trials.protocol import Handle, TrialKey
from flambe.variants.variant import Variant


class LinkedValues:
    """Holds a handle for each finished trial whose values a later trial may link to.

    Args:
        restore: Submits a finished trial to be loaded for its values.
    """

    def __init__(
        self,
        stages: Mapping[str, StageRun],
        variants: Mapping[TrialKey, Variant],
        executor: Executor,
        restore: Callable[[TrialKey], None],
    ) -> None:
        self._stages = stages
        self._variants = variants
        self._executor = executor
        self._restore = restore
        self._handles: dict[TrialKey, Handle] = {}
        self._missing: dict[TrialKey, set[TrialKey]] = {}
        self._wanted_by: dict[TrialKey, list[TrialKey]] = {}

    def imports(self, key: TrialKey) -> dict[str, Handle]:
        """The handles of the trials that `key` links to, by stage; None for those it takes no value of."""
        return {upstream.stage: self._handles.get(upstream) for upstream in self._upstream(key)}

    def keep(self, key: TrialKey, handle: Handle) -> None:
        """Take in the handle of a trial that just finished."""
        if handle is not None:
            self._handles[key] = handle

    def are_there(self, key: TrialKey) -> bool:
        """Whether all that `key` links to is at hand; if not, it is brought back, and `key` waits for it."""
        if key in self._missing:
            return False
        missing = {upstream for upstream in self._upstream(key) if not self._has(upstream)}
        if not missing:
            return True
        self._missing[key] = missing
        for upstream in missing:
            waiting = self._wanted_by.get(upstream)
            if waiting is not None:
                waiting.append(key)
                continue
            self._wanted_by[upstream] = [key]
            if self.are_there(upstream):
                self._restore(upstream)
        return False

    def is_restoring(self, key: TrialKey) -> bool:
        """Whether the trial is being loaded, not run."""
        return key in self._wanted_by

    def restored(self, key: TrialKey, handle: Handle) -> list[TrialKey]:
        """Take in the values of a loaded trial; the trials that waited for nothing else and can run now."""
        self._handles[key] = handle
        ready = []
        for waiting in self._wanted_by.pop(key):
            self._missing[waiting].discard(key)
            if self._missing[waiting]:
                continue
            del self._missing[waiting]
            if self.is_restoring(waiting):
                self._restore(waiting)
            else:
                ready.append(waiting)
        return ready

    def cannot_restore(self, key: TrialKey) -> list[TrialKey]:
        """Forget a trial that cannot be loaded; the trials that cannot run without it."""
        stuck = []
        for waiting in self._wanted_by.pop(key):
            self._missing.pop(waiting, None)
            stuck += self.cannot_restore(waiting) if self.is_restoring(waiting) else [waiting]
        return stuck

    def lost(self, key: TrialKey, handle: Handle) -> None:
        """Forget a handle whose values are gone, unless a newer one is there already."""
        if self._handles.get(key) is handle:
            self._executor.release(self._handles.pop(key))

    def has_handle(self, key: TrialKey) -> bool:
        return key in self._handles

    def free(self, key: TrialKey) -> None:
        """Let go of a trial's values, unless a trial that is being loaded still needs them."""
        if key not in self._handles or any(key in self._upstream(other) for other in self._wanted_by):
            return
        self._executor.release(self._handles.pop(key))

    def _has(self, key: TrialKey) -> bool:
        return key in self._handles or not self._stages[key.stage].exports

    def _upstream(self, key: TrialKey) -> list[TrialKey]:
        return list(upstream_keys(self._variants[key]))
