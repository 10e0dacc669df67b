"""`flambe compare RUN…`."""

from __future__ import annotations

import click


@click.command("compare")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
def command(*, runs: tuple[str, ...]) -> int:
    """Compare runs: for each stage, the best variant of each run and its metric."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flambe.cli.table import number
    from flambe.experiment.ranking import best_first
    from flambe.experiment.reading import read_run

    found = {run: read_run(run) for run in runs}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("stage", "run", "best variant"):
        table.add_column(heading, overflow="fold")
    for heading in ("metric", "variants"):
        table.add_column(heading, justify="right")
    for stage in dict.fromkeys(stage for run in found.values() for stage in run.stages):
        having = [(name, min(run.of(stage), key=best_first, default=None)) for name, run in found.items()]
        ranked = sorted(
            ((name, best) for name, best in having if best is not None), key=lambda pair: best_first(pair[1])
        )
        for row, (name, best) in enumerate(ranked):
            table.add_row(
                stage if row == 0 else "",
                Text(name),
                Text(best.key.variant),
                number(best.metric),
                str(len(found[name].of(stage))),
            )
    Console(highlight=False).print(table)
    return 0
