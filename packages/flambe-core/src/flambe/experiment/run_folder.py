"""The folder of a run: its journal, and beside it the small files that people and tools read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flambe.errors import DamagedSaveError, MissingFileError, OutputExistsError, RunError
from flambe.experiment.history import steps_of
from flambe.experiment.journal import JOURNAL, Journal, TrialRecord, decode, records
from flambe.logs import Record
from flambe.saving.seal import SealedFolder
from flambe.saving.trial_folder import CHECKPOINTS
from flambe.storage.storage import Storage
from flambe.trials.protocol import Stepped, TrialKey
from flambe.trials.recording import TrialLog

RUN = "run.json"
CONFIG = "config.yaml"
TRIAL = "trial.json"
_JOURNAL_ENDING = ".jsonl"
"""Of the journal, and of the segments that it consists of at a URL; of nothing else beside it."""
EXTENDED = "extended"
"""The journal's event that gives a stage more samples."""


class RunFolder:
    """Owns a run's folder while the run goes on: nobody else may write to it, requests aside.

    The caller holds the storage's lock.

    Attributes:
        steps: What an earlier run's trials have done.
        extensions: By stage, how many variants more than the config says people have asked for.
        extended: The requests that asked for them.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.journal = Journal(storage)
        self.steps: list[Stepped] = []
        self.extensions: Counter[str] = Counter()
        self.extended: set[str] = set()

    def open(self, *, resume: bool, force: bool) -> dict[TrialKey, TrialRecord]:
        """What an earlier run left, for a resume; nothing for a new run.

        With `force`, what it left is still there until `clear` is called.

        Raises:
            OutputExistsError: there are results, and neither `resume` nor `force` was asked for.
            JournalError: the journal of the earlier run is damaged.
        """
        if not self.storage.exists(JOURNAL):
            self._refuse_strangers()
            return {}
        if force:
            return {}
        if not resume:
            raise OutputExistsError(
                f"{self.storage.url} holds results; go on with --resume, or delete them with --force"
            )
        events = list(decode(self.storage.read(JOURNAL), name=self.storage.join(JOURNAL)))
        self.journal = Journal(self.storage, lines=len(events))
        known = records(events)
        self.steps = steps_of(events, known)
        self.extensions = extensions_of(events)
        self.extended = {event["request"] for event in events if event["event"] == EXTENDED}
        return known

    def clear(self) -> None:
        """Remove what an earlier run left; hidden files, such as an executor's own, stay."""
        for name in self.storage.list(""):
            if not name.endswith(_JOURNAL_ENDING) and not name.startswith("."):
                self.storage.remove(name)
        self.storage.remove(JOURNAL)  # last: what is left of a killed clearing is still known as a run's

    def extend(self, stage: str, samples: int, *, user: str, request: str) -> None:
        """Note that a stage tries so many variants more than its config says."""
        self.extended.add(request)
        self.journal.write(EXTENDED, durable=True, stage=stage, samples=samples, by=user, request=request)

    def write_json(self, path: str, values: Mapping[str, Any]) -> None:
        """A small file for people: whole or not at all."""
        self.storage.write(path, _text(values), durable=False)

    def settle(self, record: TrialRecord) -> None:
        """Does for a finished trial what a kill right after the journal's word may have left undone."""
        path = f"{folder_of(record.key)}/{TRIAL}"
        if not self.storage.exists(path) or self.storage.read(path) != _text(trial_values(record)):
            self.write_trial(record)
        self.drop_checkpoints(record.key)

    def write_trial(self, record: TrialRecord) -> None:
        """The trial's `trial.json`."""
        self.write_json(f"{folder_of(record.key)}/{TRIAL}", trial_values(record))

    def add_lines(self, key: TrialKey, lines: Iterable[str]) -> None:
        """Appends to the log of a trial whose own process can no longer do so."""
        TrialLog(self.storage.within(folder_of(key))).say(lines)

    def logged(self, key: TrialKey, step: int) -> list[Record]:
        """What the trial has logged up to this step."""
        return TrialLog(self.storage.within(folder_of(key))).records(step)

    def verify(self, key: TrialKey) -> None:
        """Reads what a finished trial saved.

        Raises:
            DamagedSaveError: a file is missing, cut short or altered; the message names it.
        """
        try:
            SealedFolder(self.storage, folder_of(key)).verify()
        except MissingFileError as error:
            raise DamagedSaveError(f"{error}; remove the folder's trial with --force to run again") from error

    def drop_checkpoints(self, key: TrialKey) -> None:
        """Removes what only an unfinished trial needs, once the journal says that it finished."""
        self.storage.remove(f"{folder_of(key)}/{CHECKPOINTS}")

    def _refuse_strangers(self) -> None:
        strangers = [name for name in self.storage.list("") if not name.startswith(".")]
        if strangers:
            raise RunError(
                f"{self.storage.url} holds files that no run wrote ({strangers[0]!r} for one); "
                "choose another name or save_path"
            )


def _text(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a config's name may be no UTF-8


def extensions_of(events: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """By stage, how many variants more than the config says a journal's events ask for."""
    found: Counter[str] = Counter()
    for event in events:
        if event["event"] == EXTENDED:
            found[event["stage"]] += event["samples"]
    return found


def folder_of(key: TrialKey) -> str:
    """A trial's folder inside the run's."""
    return f"{key.stage}/{key.variant}"


def trial_values(record: TrialRecord) -> dict[str, Any]:
    """What `trial.json` says."""
    return {
        "stage": record.key.stage,
        "variant": record.key.variant,
        "status": record.status,
        "metric": record.metric,
        "lower_is_better": record.lower_is_better,
        "steps": record.step,
        "choices": record.choices,
        "changes": record.changes,
        "paused_by": record.paused_by,
        "upstream": record.upstream,
        "fingerprint": record.fingerprint,
        "seed": record.seed,
        "attempts": record.attempts,
        "started": record.started,
        "ended": record.ended,
        "seconds": round(record.seconds, 3),
        "error": record.error,
    }
