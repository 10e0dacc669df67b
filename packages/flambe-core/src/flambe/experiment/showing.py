"""What trials log, shown in the metric sinks while the run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from flambe.errors import FlambeError
from flambe.logs import MetricSink, Record
from flambe.storage.storage import explained
from flambe.trials.protocol import TrialKey
from flambe.variants.variant import Variant, choice_values

_log = logging.getLogger("flambe")
_NOT_ABOUT_A_VALUE = (OSError, ImportError, FlambeError)


class Showing:
    """Writes to all sinks. A value that one cannot show is left out there, and said so once.

    Args:
        logged: Gives what a trial has logged up to a step.
    """

    def __init__(
        self, sinks: Sequence[MetricSink], logged: Callable[[TrialKey, int], Sequence[Record]]
    ) -> None:
        self._sinks = sinks
        self._logged = logged
        self._left_out: set[tuple[str, str]] = set()

    def begin(self, key: TrialKey, variant: Variant, *, again_after: int | None = None) -> None:
        """Show a trial's choices; one that goes on after a step first forgets what it logged behind it."""
        shown = {
            path.removeprefix("pipeline."): value
            for settled in (*variant.lineage.values(), variant)
            for path, value in choice_values(settled).items()
        }
        for sink in self._sinks:
            with explained("write", _what(sink, key)):
                if again_after is not None:
                    self._restart(sink, key, self._logged(key, again_after))
                if shown:
                    self._write(sink, key, [Record("hparams", "hparams", shown, None, time.time())])

    def add(self, key: TrialKey, records: Sequence[Record]) -> None:
        """Show what a trial logged."""
        if records:
            for sink in self._sinks:
                with explained("write", _what(sink, key)):
                    self._write(sink, key, records)

    def _restart(self, sink: MetricSink, key: TrialKey, records: Sequence[Record]) -> None:
        try:
            sink.restart(key.stage, key.variant, records)
        except _NOT_ABOUT_A_VALUE:
            raise
        except Exception:  # noqa: BLE001  # a sink is a plugin's, and what is logged the user's
            sink.restart(key.stage, key.variant, [])
            self._write(sink, key, records)

    def _write(self, sink: MetricSink, key: TrialKey, records: Sequence[Record]) -> None:
        """Writes all at once, or, where there is one that cannot be shown, one by one."""
        try:
            sink.write(key.stage, key.variant, records)
        except _NOT_ABOUT_A_VALUE:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            if len(records) == 1:
                self._leave_out(sink, key, records[0], error)
                return
            for record in records:
                self._write(sink, key, [record])

    def _leave_out(self, sink: MetricSink, key: TrialKey, record: Record, error: Exception) -> None:
        name = type(sink).__name__
        if (name, record.name) not in self._left_out:
            self._left_out.add((name, record.name))
            _log.warning("%s/%s: %s cannot show %r: %s", key.stage, key.variant, name, record.name, error)


def _what(sink: MetricSink, key: TrialKey) -> str:
    return f"to {type(sink).__name__} for {key.stage}/{key.variant}"
