"""docs/command-line.md has every command with all of its options; commands that pages show are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from flambe.check import check
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_file
from flambe.registry.registry import Registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
SHOWN_IN = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("packages/*/README.md")),
    *sorted(ROOT.glob("examples/*.yaml")),
]
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


def shown() -> list[str]:
    """The lines of the pages, and of the examples' comments, that begin with `flambe`."""
    found = []
    for page in SHOWN_IN:
        text = re.sub(r"\\\n(?:#)? *", "", page.read_text(encoding="utf-8"))
        found += re.findall(r"^(?:#   )?flambe (.+)$", text, re.MULTILINE)
    return list(dict.fromkeys(found))


def test_every_command_is_documented() -> None:
    assert set(documented()) == set(REGISTRY.commands())


@pytest.mark.parametrize("name", sorted(REGISTRY.commands()))
def test_every_option_is_documented(name: str) -> None:
    assert documented()[name] == options(REGISTRY.commands()[name].load())


@pytest.mark.parametrize("line", shown())
def test_commands_that_are_shown_are_right(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name, *arguments = shlex.split(line, comments=True)
    command = REGISTRY.commands()[name].load()
    with command.make_context(name, arguments, obj=REGISTRY) as context:
        file = context.params.get("file", "")
    if file.startswith("examples/"):
        document = apply_overrides(read_file(file), context.params["overrides"])
        problems = check(document, REGISTRY.with_header(document.header))
        assert [str(problem) for problem in problems] == []
