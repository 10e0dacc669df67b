"""Running a Python script or module inside this process, as `python script.py …` would."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from flambe.errors import RunError


class Program:
    """A script, found once, run as often as one likes; each run starts as a fresh program would.

    Args:
        name: The path of a file, or of a folder with a `__main__.py`, or the name of an installed module
            (`package.train`); a relative path is looked up in the working folder.

    Raises:
        RunError: there is neither.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        path = Path(name).expanduser()
        found = next((file for file in (path, path / "__main__.py") if file.is_file()), None)
        self._file = None if found is None else found.resolve()
        if self._file is None and not _is_module(name):
            raise RunError(
                f"there is no script {name}; give the path of a file, seen from the working folder "
                f"({Path.cwd()}), or the name of a module that can be imported"
            )

    def run(self, arguments: Sequence[str]) -> None:
        """Run it to its end. `sys.argv`, `sys.path`, the working folder and `__main__` are put back.

        A script file imports the modules beside it, even if this process knows others of the same names, and
        they are forgotten when it ends: another script may have such names too, and the next run reads them
        anew.

        Raises:
            RunError: it ended by `sys.exit` with something other than 0.
        """
        said = _LastLine(sys.stderr)
        try:
            with self._as_main(arguments), redirect_stderr(said):
                if self._file is not None:
                    runpy.run_path(str(self._file), run_name="__main__")
                else:
                    runpy.run_module(self.name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code in (None, 0):
                return
            if isinstance(end.code, int):
                why = f"ended with exit code {end.code}" + (f": {said.line}" if said.line else "")
            else:
                why = f"ended: {end.code}"
            raise RunError(f"the script {self.name} {why}") from end

    @contextmanager
    def _as_main(self, arguments: Sequence[str]) -> Iterator[None]:
        argv, path, here = sys.argv, sys.path, Path.cwd()
        folder = here if self._file is None else self._file.parent
        sys.argv = [self.name if self._file is None else str(self._file), *arguments]
        sys.path = [str(folder), *path]
        try:
            with nullcontext() if self._file is None else _own_modules(folder):
                yield
        finally:
            sys.argv, sys.path = argv, path  # runpy puts `__main__` back
            os.chdir(here)


class _LastLine:
    """A text stream that hands on what is written, and remembers the last line with something in it."""

    def __init__(self, beneath: TextIO) -> None:
        self._beneath = beneath
        self._text = ""

    @property
    def line(self) -> str:
        lines = [line.strip() for line in self._text.splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def write(self, text: str) -> int:
        self._text = (self._text + text)[-1000:]
        return self._beneath.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


def _is_module(name: str) -> bool:
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


@contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Hides modules from elsewhere whose names lie in `folder`; forgets those of `folder` that come new."""
    files = [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
    own = {file.parent.name if file.name == "__init__.py" else file.stem for file in files}
    own -= {"__main__", *sys.stdlib_module_names}
    named = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in own}
    hidden = {name: module for name, module in named.items() if not _lies_in(module, folder)}
    for name in hidden:
        del sys.modules[name]
    known = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - known:
            if name.partition(".")[0] in own:
                del sys.modules[name]
        sys.modules.update(hidden)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)
