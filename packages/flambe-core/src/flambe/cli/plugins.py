"""`flambe plugins`."""

from __future__ import annotations

import click

from flambe.registry.registry import Registry


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def command(registry: Registry, *, as_json: bool) -> int:
    """List the plugins: name, version, what each brings, and what went wrong."""
    import json

    if as_json:
        rows = [
            {
                "name": record.name,
                "distribution": record.distribution,
                "version": record.version,
                "brings": record.brings,
                "error": record.error,
            }
            for record in registry.plugins
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    from flambe.cli.terminal import plain_table, show

    table = plain_table("plugin", "package", "version", "brings")
    for record in registry.plugins:
        brought = "\n".join(_brings(kind, names) for kind, names in record.brings.items() if names)
        shown = f"[red]{_escape(record.error)}[/red]" if record.error else _escape(brought)
        table.add_row(record.name, record.distribution or "", record.version or "", shown)
    show(table)
    return 0


def _brings(kind: str, names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{kind}: {shown}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
