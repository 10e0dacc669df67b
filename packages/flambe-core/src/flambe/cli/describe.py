"""`flambe describe TAG`."""

from __future__ import annotations

import click

from flambe.registry.registry import Registry


def _tags(context: click.Context, _argument: click.Parameter, incomplete: str) -> list[str]:
    registry: Registry = context.obj
    inside = registry.tags_in(incomplete.rpartition(".")[0])
    return sorted(tag for tag in {*registry.tags(), *inside} if tag.startswith(incomplete))


@click.command("describe")
@click.argument("tag", shell_complete=_tags)
@click.option("--header", multiple=True, metavar="ALIAS=MODULE", help="A module to know as ALIAS.")
@click.pass_obj
def command(registry: Registry, *, tag: str, header: tuple[str, ...]) -> int:
    """Show what TAG builds: arguments, defaults, types, first lines of its documentation, who provides it."""
    from flambe.registry.describe import describe

    aliases = dict(entry.partition("=")[::2] for entry in header)
    if not all(alias and module for alias, module in aliases.items()):
        raise click.UsageError("--header takes ALIAS=MODULE")
    known = registry.with_aliases(aliases) if aliases else registry
    click.echo(describe(known, tag.removeprefix("!")).text())
    return 0
