"""`flambe export RUN STAGE DEST`."""

from __future__ import annotations

import click


@click.command("export")
@click.argument("run", metavar="RUN")
@click.argument("stage", metavar="STAGE")
@click.argument("destination", metavar="DEST")
@click.option("--variant", metavar="ID", help="Which variant (default: the best).")
@click.option("--force", is_flag=True, help="Replace what DEST holds.")
def command(*, run: str, stage: str, destination: str, variant: str | None, force: bool) -> int:
    """Copy a variant's saved object out of a run, to be loaded with `flambe.load(DEST)`.

    STAGE may name a part: `stage1.model` exports the model alone.
    """
    from flambe.experiment.exporting import export

    found = export(run, stage, destination, variant=variant, force=force)
    click.echo(f"{found} -> {destination}", err=True)
    return 0
