"""`trial_folder`: where the trial that runs keeps its files, for stages that write files of their own."""

from __future__ import annotations

from contextvars import ContextVar

from flambe.errors import RunError

FOLDER: ContextVar[str | None] = ContextVar("flambe_trial_folder", default=None)
"""The path or URL of the folder of the trial that runs; None outside of trials."""


def trial_folder() -> str:
    """The path or URL of the folder of the trial that runs.

    A stage may write files of its own there, best into a folder of their own: the trial's log, its
    checkpoints and the saved object stand beside them.

    Raises:
        RunError: no trial runs here.
    """
    folder = FOLDER.get()
    if folder is None:
        raise RunError("no trial runs here: only the code of a stage has a trial's folder")
    return folder
