"""`Script`: a training script that was written without Flambé, as a stage."""

from __future__ import annotations

import logging
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from typing import Any

from flambe.build.hidden import Hidden
from flambe.component import Component
from flambe.errors import RunError
from flambe.logs import CURRENT, Current, Kind, Recorder
from flambe.stages.program import Program
from flambe.storage.storage import open_storage, protocol_of
from flambe.trials.place import FOLDER, trial_folder

OUTPUT = "output"
"""The folder in the trial's folder that holds what a script writes."""

_log = logging.getLogger("flambe")


class Script(Component):
    """Runs a Python script with arguments, as a command line would; it is one step.

    What the script logs with `flambe.log` is the trial's. The script runs in the trial's process, as
    `__main__`. `flambe.load` builds a saved one only with `trust=["flambe.stages"]`: it could run anything.

    Args:
        script: The path of a file, or of a folder with a `__main__.py`, seen from the working folder; or the
            name of a module (`package.train`). To take it along to other machines, name the file or folder
            in `resources` and link to it.
        args: Options by name: `lr: 0.1` is passed as `--lr 0.1`, a list as `--layers 1 2 3`, true as
            `--verbose`; false and null are left out. A name that begins with `-` is passed as it is.
        positional: Arguments without a name; they come before the options.
        output_dir_arg: The name of the option that takes the folder for the script's files: it is given
            `output` in the trial's folder, which is empty when the trial is new.
        metric: The name of a logged number, whose last value ranks the trial.
        lower_is_better: Of the metric.

    Raises:
        RunError: there is no such script.
        ValueError: `args` is no mapping, `positional` is no list, or an option is given twice.
        TypeError: an argument is no number, text or list of them.

    Attributes:
        results: The last value of each logged number, by name.
        output_dir: The path or URL of the script's files, for later stages; None without `output_dir_arg`.

    Example:
        >>> Script("json.tool", {"lr": 0.1, "layers": [2, 3], "fast": True, "seed": None}).arguments
        ['--lr', '0.1', '--layers', '2', '3', '--fast']
    """

    def __init__(
        self,
        script: str,
        args: Mapping[str, Any] | None = None,
        *,
        positional: Sequence[Any] = (),
        output_dir_arg: str | None = None,
        metric: str | None = None,
        lower_is_better: bool = False,
    ) -> None:
        if args is not None and not isinstance(args, Mapping):
            raise ValueError(
                f"args is {_kind(args)}; write options by name, such as {{lr: 0.1}}, and arguments without a "
                "name as a list in positional"
            )
        if isinstance(positional, str | bytes | Mapping):
            raise ValueError(f"positional is {_kind(positional)}; write a list of arguments, such as [fit]")
        self.script = script
        self.output_dir_arg = output_dir_arg
        self.lower_is_better = lower_is_better
        self.results: dict[str, float] = {}
        self.output_dir: str | None = None
        self._metric = metric
        self._program = Program(str(script))
        self._options = dict(args or {})
        if output_dir_arg is not None and output_dir_arg in self._options:
            raise ValueError(f"{output_dir_arg!r} is both in args and the output_dir_arg")
        self._words = [
            *(_word(f"positional[{place}]", value) for place, value in enumerate(positional)),
            *(word for name, value in self._options.items() for word in _option(str(name), value)),
        ]

    @property
    def arguments(self) -> list[str]:
        """What the script finds in `sys.argv[1:]`, without the output folder."""
        return list(self._words)

    def step(self) -> bool:
        """Run the script; there is nothing more to do then.

        Raises:
            RunError: it ended with an exit code other than 0.
            ValueError: it did not log the metric.
        """
        with self._output() as output, _listening() as listener:
            words = [*self._words, *(_option(self.output_dir_arg, output) if self.output_dir_arg else [])]
            shown = ["***" if isinstance(word, Hidden) else word for word in words]
            _log.info("running %s", shlex.join([self._program.name, *shown]))
            self._program.run([str(word) for word in words])
            self.results = listener.last
        if self._metric is not None and self._metric not in self.results:
            known = ", ".join(sorted(self.results)) or "no number"
            raise ValueError(f"metric is {self._metric!r}, but the script {self.script} logged {known}")
        return False

    def metric(self) -> float | None:
        """The last value that was logged as `metric`; None before the step."""
        return None if self._metric is None else self.results.get(self._metric)

    def custom_state(self) -> Mapping[str, Any]:
        """What the script logged last, and where its files are."""
        return {"results": self.results, "output_dir": self.output_dir}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Take back what a run gave."""
        self.results, self.output_dir = dict(state["results"]), state["output_dir"]

    @contextmanager
    def _output(self) -> Iterator[str]:
        """A local folder for the script's files; they are copied to where a remote trial keeps its own."""
        if self.output_dir_arg is None:
            yield ""
            return
        if FOLDER.get() is None:
            raise RunError(f"the script {self.script} has an output folder only in a trial of an experiment")
        self.output_dir = _joined(trial_folder(), OUTPUT)
        if protocol_of(self.output_dir) == "file":
            local = self.output_dir.removeprefix("file://")
            os.makedirs(local, exist_ok=True)
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="flambe-") as local:
            yield local
            storage = open_storage(self.output_dir)
            for file in sorted(Path(local).rglob("*")):
                if file.is_file():
                    storage.write(file.relative_to(local).as_posix(), file.read_bytes(), durable=False)
            storage.close()


class _Listener(Recorder):
    """Hands on what is logged to the trial's recorder, and keeps the last value of each number."""

    __slots__ = ("_last", "_trial")

    def __init__(self, trial: Recorder | None) -> None:
        super().__init__()
        self._trial = trial
        self._last: dict[str, Any] = {}

    @property
    def last(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._last.copy().items()}

    def add(self, kind: Kind, name: str, value: Any, step: int | None) -> None:
        if kind == "scalar":
            self._last[name] = value
        elif kind == "scalars":
            self._last.update({f"{name}/{key}": each for key, each in value.items()})
        if self._trial is not None:
            self._trial.add(kind, name, value, step)


@contextmanager
def _listening(current: Current = CURRENT) -> Iterator[_Listener]:
    listener = _Listener(current.get())
    token = current.set(listener)
    try:
        yield listener
    finally:
        current.reset(token)


def _option(name: str, value: Any) -> list[str]:
    """The words of one option on a command line."""
    flag = name if name.startswith("-") else f"--{name}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        return [flag, *(_word(f"args.{name}[{place}]", each) for place, each in enumerate(value))]
    word = _word(f"args.{name}", value)
    if flag.startswith("--") and word.startswith("-"):  # else it would be taken for an option
        joined = f"{flag}={word}"
        return [Hidden(joined) if isinstance(word, Hidden) else joined]
    return [flag, word]


def _word(where: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Number | os.PathLike):
        return str(value)
    raise TypeError(f"{where} is {_kind(value)}; a script takes numbers, texts and lists of them")


def _kind(value: Any) -> str:
    """What to call `value`, which may be a secret."""
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
