"""Running the command line in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from flambe.cli.main import main

MODULES = Path(__file__).parents[1] / "experiment/modules"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Flambe = Callable[..., Said]


@pytest.fixture
def flambe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Flambe]:
    """Calls `flambe` in an empty folder: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(MODULES))
    monkeypatch.setenv("COLUMNS", "120")

    def flambe(*arguments: str | os.PathLike[str]) -> Said:
        with pytest.raises(SystemExit) as stopped:
            main([os.fspath(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = stopped.value.code
        return Said(code if isinstance(code, int) else 0, out, err)

    yield flambe
    sys.modules.pop("walking", None)
