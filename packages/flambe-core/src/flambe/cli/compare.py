"""`flambe compare RUN…`."""

from __future__ import annotations

import click


@click.command("compare")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
def command(*, runs: tuple[str, ...]) -> int:
    """Compare runs: for each stage, the best variant of each run and its metric."""
    from rich.text import Text

    from flambe.cli.table import number
    from flambe.cli.terminal import plain_table, show
    from flambe.experiment.ranking import best_first
    from flambe.experiment.reading import read_run

    found = {run: read_run(run) for run in runs}
    table = plain_table("stage", "run", "best variant", right=("metric", "variants"))
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
    show(table)
    return 0
