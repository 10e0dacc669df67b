"""`flambe check FILE`."""

from __future__ import annotations

import sys

import click

from flambe.cli.reading import read_config, read_secrets
from flambe.errors import ConfigError
from flambe.registry.registry import Registry


@click.command("check")
@click.argument("file", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[key.path=value]...")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-i", "--install", is_flag=True, help="Install the header's extensions that are missing.")
@click.option("--secrets", metavar="FILE", help="An ini file for !secret.")
@click.pass_obj
def command(
    registry: Registry,
    *,
    file: str,
    overrides: tuple[str, ...],
    form: str,
    install: bool,
    secrets: str | None,
) -> int:
    """Find everything that is wrong in FILE, without building or running anything."""
    from flambe.check import check, render
    from flambe.registry.extensions import ensure

    try:
        document = read_config(file, overrides)
        if install:
            ensure(document.header, install=True)
        given = read_secrets(secrets) if secrets else None
        problems = list(check(document, registry.with_header(document.header), secrets=given))
    except ConfigError as error:
        problems = list(error.problems)
    wrong = [problem for problem in problems if problem.severity == "error"]
    if form == "json":
        click.echo(render.json(problems))
    elif problems:
        click.echo(render.text(problems, color=sys.stdout.isatty()))
    if form == "text":
        count = f"{len(wrong)} problem{'s' * (len(wrong) != 1)}" if wrong else "no problems"
        click.echo(f"{file}: {count} found", err=True)
    return 2 if wrong else 0
