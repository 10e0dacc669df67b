"""Every error that Flambé raises on purpose.

    FlambeError
    ├── ConfigError           the config is wrong: all problems at once, exit code 2
    ├── PluginError           a plugin cannot be loaded, or two register the same name
    │   └── UnknownTagError   no plugin and no header module has this name
    ├── ExtensionError        an extension of the header is missing or cannot be installed
    ├── LinkError             a link points to what is not there when a trial is built
    ├── HandOverError         a linked value cannot be given to another trial
    ├── CannotChangeError     an argument of a running trial cannot take a new value
    ├── RunError              a run cannot start or go on
    │   ├── OutputExistsError the folder holds results, and neither --resume nor --force was given
    │   ├── OutputLockedError another run is writing to the folder
    │   ├── JournalError      the journal of a run is damaged
    │   ├── ReduceError       too few variants with a metric for a `reduce`
    │   └── WorkerLostError   a worker process died while it ran a trial
    └── SavingError           a save cannot be written or read
        ├── MissingFileError  there is no such file or folder
        ├── DamagedSaveError  a file is missing, cut short or altered
        └── VersionError      the saved class version does not fit the installed class

Exceptions of user code keep their type; the config path and the variant are added as a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flambe.language.nodes import Position


class FlambeError(Exception):
    """The root of all errors that a caller may want to handle."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a config: where, what, and what to do.

    `severity` is `error` or `warning`; `path` is the config path (`pipeline.stage1.model`), empty for
    the document as a whole; `source` the line of the file, for the caret.
    """

    message: str
    position: Position | None = None
    path: str = ""
    severity: str = "error"
    source: str | None = None

    def __str__(self) -> str:
        where = f"{self.position}  " if self.position else ""
        return f"{where}{self.path + ': ' if self.path else ''}{self.message}"


class ConfigError(FlambeError, ValueError):
    """The config is wrong. `problems` holds everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PluginError(FlambeError):
    """A plugin cannot be loaded, or two plugins register the same name."""


class UnknownTagError(PluginError, KeyError):
    """No plugin and no header module has this name."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ExtensionError(FlambeError):
    """An extension of the header is missing or cannot be installed."""


class LinkError(FlambeError, LookupError):
    """A link points to what is not there when a trial is built."""


class HandOverError(FlambeError):
    """A linked value cannot be given to another trial."""


class CannotChangeError(FlambeError, ValueError):
    """An argument of a running trial cannot take a new value."""


class RunError(FlambeError):
    """A run cannot start or go on."""


class OutputExistsError(RunError):
    """The folder holds results, and neither `--resume` nor `--force` was given."""


class OutputLockedError(RunError):
    """Another run is writing to the folder."""


class JournalError(RunError):
    """The journal of a run is damaged."""


class ReduceError(RunError):
    """Too few variants with a metric for a `reduce`."""


class WorkerLostError(RunError):
    """A worker process died while it ran a trial."""


class SavingError(FlambeError):
    """A save cannot be written or read."""


class MissingFileError(SavingError, FileNotFoundError):
    """There is no such file or folder; the message names it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DamagedSaveError(SavingError, ValueError):
    """A file of a save is missing, cut short or altered; the message names it."""


class VersionError(SavingError, ValueError):
    """The saved class version does not fit the installed class."""
