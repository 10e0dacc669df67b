"""`flambe export RUN STAGE DEST`."""

from __future__ import annotations

import click


@click.command("export")
@click.argument("run", metavar="RUN", type=click.Path())
@click.argument("stage", metavar="STAGE")
@click.argument("destination", metavar="DEST", type=click.Path())
@click.option("--variant", metavar="ID", help="Which variant (default: the best).")
@click.option("--force", is_flag=True, help="Replace what DEST holds.")
def command(*, run: str, stage: str, destination: str, variant: str | None, force: bool) -> int:
    """Copy a variant's saved object out of a run, to be loaded with `flambe.load`.

    STAGE may name a part: `stage1.model` exports the model alone. What it needs of other parts and
    stages is copied with it, and DEST then has the folders of a run.
    """
    from flambe.experiment.exporting import export

    found = export(run, stage, destination, variant=variant, force=force)
    click.echo(f"load it with flambe.load({found!r})")
    return 0
