"""`flambe new extension NAME`."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

import click

from flambe.errors import FlambeError

PROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "Classes for Flambé experiments."
requires-python = ">=3.10"
dependencies = ["flambe-core"]

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""

CODE = '''\
"""Classes for Flambé experiments: use them in a config as `!{module}.ClassName`."""

from flambe import Component, log


class Walk(Component):
    """A stage: walks `steps` steps of `stride` and is ranked by how near it ends to `goal`."""

    lower_is_better = True

    def __init__(self, stride: float, goal: float = 10.0, steps: int = 5) -> None:
        self.stride = stride
        self.goal = goal
        self.steps = steps
        self.place = 0.0
        self.taken = 0

    def step(self) -> bool:
        """One unit of work; returns whether there is more."""
        self.place += self.stride
        self.taken += 1
        log("place", self.place, self.taken)
        return self.taken < self.steps

    def metric(self) -> float:
        return abs(self.goal - self.place)

    def custom_state(self) -> dict[str, float]:
        return {{"place": self.place, "taken": self.taken}}

    def load_custom_state(self, state: dict[str, float]) -> None:
        self.place, self.taken = state["place"], int(state["taken"])
'''

CONFIG = """\
{module}: ./
---
!Experiment
name: {distribution}

pipeline:
  walk: !{module}.Walk
    stride: !g [1.0, 1.5, 2.0]

reduce:
  walk: 1
"""

README = """\
# {distribution}

    flambe run -i example.yaml

installs this folder as a package and runs its example.
"""


@click.group("new")
def command() -> None:
    """Start something of your own."""


@command.command("extension")
@click.argument("name")
def extension(*, name: str) -> int:
    """Make the folder NAME: a pip-installable package with one stage, and an experiment that uses it."""
    folder = Path(name)
    module = folder.name.replace("-", "_")
    if not module.isascii() or not module.isidentifier() or keyword.iskeyword(module):
        raise click.UsageError(f"{folder.name!r} cannot be the name of a Python package")
    if importlib.util.find_spec(module) is not None:
        raise click.UsageError(f"there is a package {module!r} already; choose another name")
    names = {"module": module, "distribution": folder.name.replace("_", "-").lower()}
    try:
        if folder.exists() and any(folder.iterdir()):
            raise click.UsageError(f"{folder} exists and is not empty")
        _write(folder, module, names)
    except OSError as error:
        raise FlambeError(f"cannot make {folder}: {error.strerror}") from error
    click.echo(f"made {folder}; try: cd {folder} && flambe run -i example.yaml")
    return 0


def _write(folder: Path, module: str, names: dict[str, str]) -> None:
    source = folder / "src" / module
    source.mkdir(parents=True)
    for path, text in [
        (folder / "pyproject.toml", PROJECT),
        (folder / "README.md", README),
        (folder / "example.yaml", CONFIG),
        (source / "__init__.py", CODE),
    ]:
        path.write_text(text.format(**names), encoding="utf-8")
    (source / "py.typed").touch()
