"""The trials of a run: what is known of each, and how one is handed to the executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from flambe.experiment.ingredients import Ingredients
from flambe.experiment.journal import TrialRecord, waiting_status
from flambe.experiment.linked_values import LinkedValues
from flambe.experiment.run_folder import folder_of
from flambe.trials.protocol import TrialKey, TrialTask
from flambe.variants.variant import Variant

Restore = Literal["fresh", "checkpoint", "finished"]


class Roster:
    """What those who drive a run share.

    Attributes:
        records: What became of each trial so far.
        variants: The variant of each.
        reused: Those that an earlier run had finished.
        active: Those that the executor has now.
        values: What finished trials hand on.
        problems: What went wrong beside failed trials.
        waiting: Those that have begun and wait to go on; it is no new attempt when they do.
        stopping: No more trials are started.
    """

    def __init__(self, ingredients: Ingredients) -> None:
        self._in = ingredients
        self.records: dict[TrialKey, TrialRecord] = {}
        self.variants: dict[TrialKey, Variant] = {}
        self.reused: set[TrialKey] = set()
        self.active: set[TrialKey] = set()
        self.waiting: set[TrialKey] = set()
        self.problems: list[str] = []
        self.stopping = False
        self.values = LinkedValues(
            ingredients.stages,
            self.variants,
            ingredients.executor,
            restore=lambda key: self.submit(key, restore="finished"),
        )

    def ready(self, key: TrialKey, *, ahead: bool = False) -> None:
        """All upstream trials have ended well: get their values, then go."""
        if self.may_go(key) and self.values.are_there(key):
            self.submit(key, ahead=ahead)

    def may_go(self, key: TrialKey) -> bool:
        """Whether nobody wants the trial, or all, to wait."""
        return not self.stopping and self.records[key].paused_by is None

    def submit(self, key: TrialKey, restore: Restore | None = None, *, ahead: bool = False) -> None:
        """Hand the trial to the executor; `ahead` of those that are queued if it had a place until now."""
        variant, record, stage = self.variants[key], self.records[key], self._in.stages[key.stage]
        self.active.add(key)
        self._in.executor.submit(
            TrialTask(
                key=key,
                node=stage.space.resolve(variant),
                exports=stage.exports,
                imports=self.values.imports(key),
                seed=record.seed,
                devices=self._in.devices_of[key.stage],
                threads=self._in.threads_of[key.stage],
                folder=self._in.folder.storage.join(folder_of(key)),
                fingerprint=record.fingerprint,
                upstream=record.upstream,
                restore=restore or ("fresh" if record.started is None else "checkpoint"),
                attempt=record.attempts,
                siblings=len(stage.open) + stage.unsuggested,
                changes=record.changes,
                ahead=ahead,
            )
        )

    def change(
        self,
        record: TrialRecord,
        values: Mapping[str, Any],
        *,
        origin: str,
        donor: str | None = None,
        unproven: bool = False,
    ) -> None:
        """The record's trial goes on from its step with new values of some arguments.

        With `unproven`, they are taken back if its stage refuses them, or fails in the first step with them.
        """
        if donor is not None:
            record.proven = None
        elif unproven and record.proven is None:
            record.proven = record.changes
        record.changes = {**record.changes, **values}
        self.note(
            "changed",
            record.key,
            step=record.step,
            values=dict(values),
            origin=origin,
            **({} if donor is None else {"donor": donor}),
            **({"unproven": True} if unproven else {}),
        )
        self._in.folder.write_trial(record)

    def take_back(self, record: TrialRecord, why: str) -> None:
        """The stage refuses the newest changes, or has failed with them at once."""
        assert record.proven is not None
        new = ", ".join(f"{p} = {v}" for p, v in record.changes.items() if record.proven.get(p, self) != v)
        record.changes, record.proven = record.proven, None
        self.note("unchanged", record.key, changes=record.changes, why=why)
        self._in.folder.add_lines(record.key, [f"from step {record.step} on: without {new} ({why})"])
        self._in.folder.write_trial(record)

    def hold(self, record: TrialRecord, user: str) -> None:
        """Nothing more of the trial until somebody lets it go."""
        record.status, record.paused_by = "paused", user
        self.note("paused", record.key, step=record.step, by=user)
        self._in.folder.write_trial(record)

    def let_go(self, record: TrialRecord, user: str) -> None:
        """The trial may go on."""
        record.status, record.paused_by = waiting_status(record), None
        self.note("continued", record.key, by=user)
        self._in.folder.write_trial(record)

    def stop(self) -> None:
        """Let running trials write a checkpoint and leave, and start no more."""
        if not self.stopping:
            self.stopping = True
            self._in.executor.interrupt()

    def note(self, event: str, key: TrialKey, **values: Any) -> None:
        """Write down in the journal what has happened to a trial."""
        self._in.folder.journal.write(event, stage=key.stage, variant=key.variant, **values)
