"""docs/command-line.md has every command with all of its options, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from flambe.registry.registry import Registry

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
REGISTRY = Registry.load()


def documented() -> dict[str, set[str]]:
    """By command, the options in the first column of the table below its heading."""
    found = {}
    for heading, text in re.findall(r"^###? (.*)\n((?:(?!##).*\n)*)", PAGE, re.MULTILINE):
        rows = re.findall(r"^\| (`-.*?) \|", text, re.MULTILINE)
        options = {option for row in rows for option in re.findall(r"`(--?[\w-]+)", row)}
        found.update(dict.fromkeys(re.findall(r"`flambe ([a-z]+)", heading), options))
    return found


def options(command: click.Command) -> set[str]:
    context = click.Context(command, obj=REGISTRY)
    given = (name for option in command.get_params(context) for name in option.opts)
    return {name for name in given if name.startswith("-")} - {"--help", "-h"}


def test_every_command_is_documented() -> None:
    assert set(documented()) == set(REGISTRY.commands())


@pytest.mark.parametrize("name", sorted(REGISTRY.commands()))
def test_every_option_is_documented(name: str) -> None:
    assert documented()[name] == options(REGISTRY.commands()[name].load())
