"""`flambe plan FILE`."""

from __future__ import annotations

import json

import click

from flambe.cli.reading import read_config
from flambe.errors import FlambeError


@click.command("plan")
@click.argument("file", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[key.path=value]...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--graph", type=click.Choice(["mermaid"]), help="Draw the pipeline instead.")
@click.option("--all", "everything", is_flag=True, help="List every variant.")
def command(
    *, file: str, overrides: tuple[str, ...], as_json: bool, graph: str | None, everything: bool
) -> int:
    """Show FILE's stages, their links and variants, and what a resume would reuse. Nothing is run."""
    from flambe.experiment.experiment import Experiment
    from flambe.experiment.preparing import prepare
    from flambe.experiment.runnable import is_experiment

    document = read_config(file, overrides)
    if not is_experiment(document):
        prepare(document)  # what is wrong with it is said first
        raise FlambeError(f"{file} holds no experiment, and nothing else has a plan")
    plan, statuses = Experiment.from_document(document).plan()
    if as_json:
        click.echo(json.dumps(plan.json(statuses), indent=2))
    elif graph:
        click.echo(plan.mermaid(), nl=False)
    else:
        click.echo(plan.text(statuses, verbose=everything), nl=False)
    return 0
