"""What trials log, shown in the metric sinks while the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flambe.logs import MetricSink, Record
from flambe.storage.storage import explained
from flambe.trials.protocol import TrialKey
from flambe.variants.variant import Variant, choice_values


class Showing:
    """Writes to all sinks.

    Args:
        logged: Gives what a trial has logged so far.
    """

    def __init__(self, sinks: Sequence[MetricSink], logged: Callable[[TrialKey], Sequence[Record]]) -> None:
        self._sinks = sinks
        self._logged = logged

    def begin(self, key: TrialKey, variant: Variant, *, again: bool) -> None:
        """Show a trial's choices; one that runs again first forgets what it will log again."""
        shown = {
            path.removeprefix("pipeline."): value
            for settled in (*variant.lineage.values(), variant)
            for path, value in choice_values(settled).items()
        }
        for sink in self._sinks:
            with explained("write", _what(sink, key)):
                if again:
                    sink.restart(key.stage, key.variant, self._logged(key))
                if shown:
                    choices = Record("hparams", "hparams", shown, None, time.time())
                    sink.write(key.stage, key.variant, [choices])

    def add(self, key: TrialKey, records: Sequence[Record]) -> None:
        """Show what a trial logged."""
        if records:
            for sink in self._sinks:
                with explained("write", _what(sink, key)):
                    sink.write(key.stage, key.variant, records)


def _what(sink: MetricSink, key: TrialKey) -> str:
    return f"to {type(sink).__name__} for {key.stage}/{key.variant}"
