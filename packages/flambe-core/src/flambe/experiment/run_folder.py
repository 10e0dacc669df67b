"""The folder of a run: its journal, and beside it the small files that people and tools read."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flambe.errors import DamagedSaveError, JournalError, MissingFileError, OutputExistsError, RunError
from flambe.executors.protocol import TrialKey
from flambe.experiment.journal import JOURNAL, Journal, TrialRecord, decode, records, whole_lines
from flambe.log import Record
from flambe.saving.seal import SealedFolder
from flambe.saving.storage import Storage
from flambe.saving.trial_folder import CHECKPOINTS

RUN = "run.json"
CONFIG = "config.yaml"
TRIAL = "trial.json"
METRICS = "metrics.jsonl"
LOG = "log.txt"


class RunFolder:
    """Owns a run's folder while the run goes on: nobody else may write to it.

    The caller holds the storage's lock.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.journal = Journal(storage)

    def open(self, *, resume: bool, force: bool) -> dict[TrialKey, TrialRecord]:
        """What an earlier run left, for a resume; nothing for a new run.

        Raises:
            OutputExistsError: there are results, and neither `resume` nor `force` was asked for.
            JournalError: the journal of the earlier run is damaged.
        """
        if not self.storage.exists(JOURNAL):
            self._refuse_strangers()
            return {}
        if force:
            self._clear()
            return {}
        if not resume:
            raise OutputExistsError(
                f"{self.storage.url} holds results; go on with --resume, or delete them with --force"
            )
        return records(decode(self.storage.read(JOURNAL), name=self.storage.join(JOURNAL)))

    def write_json(self, path: str, values: Mapping[str, Any]) -> None:
        """A small file for people: whole or not at all."""
        text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
        self.storage.write(path, text.encode() + b"\n", durable=False)

    def write_trial(self, record: TrialRecord) -> None:
        """The trial's `trial.json`."""
        self.write_json(f"{folder_of(record.key)}/{TRIAL}", trial_values(record))

    def add_metrics(self, key: TrialKey, step: int, logged: Iterable[Record]) -> None:
        """Appends what a trial logged after `step` steps to its `metrics.jsonl`."""
        lines = b"".join(encode_record(record, step) for record in logged)
        if lines:
            self.storage.append(f"{folder_of(key)}/{METRICS}", lines)

    def add_lines(self, key: TrialKey, lines: Iterable[str]) -> None:
        """Appends text to the trial's `log.txt`."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines)
        if text:
            self.storage.append(f"{folder_of(key)}/{LOG}", text.encode("utf-8", "backslashreplace"))

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

    def rewind(self, key: TrialKey, step: int) -> list[Record]:
        """Drops the metrics that the trial logged after `step` steps, and returns those that stay."""
        path = f"{folder_of(key)}/{METRICS}"
        if not self.storage.exists(path):
            return []
        lines = whole_lines(self.storage.read(path))
        kept = [values for values in _parsed(lines, path) if values["trial_step"] <= step]
        if len(kept) < len(lines):
            text = "".join(f"{line}\n" for line in map(json.dumps, kept))
            self.storage.write(path, text.encode(), durable=False)
        return [decode_record(values) for values in kept]

    def _clear(self) -> None:
        for name in self.storage.list(""):
            if name != JOURNAL:
                self.storage.remove(name)
        self.storage.remove(JOURNAL)  # last: what is left of a killed clearing is still known as a run's

    def _refuse_strangers(self) -> None:
        strangers = [name for name in self.storage.list("") if not name.startswith(".")]
        if strangers:
            raise RunError(
                f"{self.storage.url} holds files that no run wrote ({strangers[0]!r} for one); "
                "choose another name or save_path"
            )


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
        "upstream": record.upstream,
        "fingerprint": record.fingerprint,
        "seed": record.seed,
        "attempts": record.attempts,
        "started": record.started,
        "ended": record.ended,
        "seconds": round(record.seconds, 3),
        "error": record.error,
    }


def encode_record(record: Record, step: int) -> bytes:
    """One line of `metrics.jsonl`; numbers that JSON lacks are strings, arrays are base64."""
    values = {
        "name": record.name,
        "value": _to_json(record.value),
        "step": record.step,
        "kind": record.kind,
        "time": round(record.time, 3),
        "trial_step": step,
    }
    return json.dumps(values).encode() + b"\n"


def decode_record(values: Mapping[str, Any]) -> Record:
    """The record that a line of `metrics.jsonl` holds."""
    value = values["value"]
    if values["kind"] != "text":
        value = _from_json(value)
    return Record(values["kind"], values["name"], value, values["step"], values["time"])


def _parsed(lines: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        values = _parse(line)
        if values is None:
            raise JournalError(f"{name}:{number}: this line is damaged; remove it to go on")
        yield values


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "trial_step" in values else None


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "__array__"):
        import numpy

        array = numpy.ascontiguousarray(value)
        data = base64.b64encode(array.tobytes()).decode()
        return {"array": data, "dtype": str(array.dtype), "shape": list(array.shape)}
    return str(value)


def _from_json(value: Any) -> Any:
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype", "shape"}:
            import numpy

            data = base64.b64decode(value["array"])
            return numpy.frombuffer(data, dtype=value["dtype"]).reshape(value["shape"])
        return {key: _from_json(item) for key, item in value.items()}
    return value
