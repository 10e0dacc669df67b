"""Tables without a frame, that fit a narrow terminal and that a pipe leaves whole."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def plain_table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    """A table whose rows begin at the left edge; the columns `right` stand at the right, never folded."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def show(table: Table) -> None:
    """Prints to stdout; lines end where their text does, for programs that read them."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def console() -> Console:
    """Stdout: as wide as the terminal, or as wide as the rows where programs read it."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=1000 if piped else None)
