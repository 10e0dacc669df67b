"""What becomes of trials that wait in an executor's queue."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from flambe.trials.protocol import Event, Finished, TrialKey, TrialTask


def stop_queued(queue: OrderedDict[TrialKey, TrialTask], key: TrialKey) -> list[Event]:
    """Stop a trial in the queue, and give what is to be told of it.

    One with a checkpoint keeps its place: it is restored only to be saved.
    """
    task = queue[key]
    if task.restore == "checkpoint":
        queue[key] = replace(task, stopping=True)
        return []
    del queue[key]
    return [Finished(key, 0, None, False, None, "stopped")]
