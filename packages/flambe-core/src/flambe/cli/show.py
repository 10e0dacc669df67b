"""`flambe show RUN`."""

from __future__ import annotations

import click


@click.command("show")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--all", "everything", is_flag=True, help="Every variant, not only the best of each stage.")
def command(*, run: str, as_json: bool, everything: bool) -> int:
    """Show a run's variants, best first. RUN is its folder; the run may still be going."""
    import json

    from flambe.cli.table import MOST_ROWS, print_stages
    from flambe.experiment.ranking import best_first
    from flambe.experiment.reading import read_run
    from flambe.experiment.run_folder import trial_values

    found = read_run(run)
    if as_json:
        ranked = {stage: sorted(found.of(stage), key=best_first) for stage in found.stages}
        values = {
            **found.about,
            "folder": found.folder,
            "stages": [
                {
                    "name": stage,
                    "chosen": list(found.chosen.get(stage, ())),
                    "variants": [trial_values(record) for record in records],
                }
                for stage, records in ranked.items()
            ],
        }
        click.echo(json.dumps(values, indent=2))
        return 0
    click.echo(f"{found.about.get('name', '')}: {found.about.get('status', '')}")
    records = [record for key, record in found.records.items() if everything or key not in found.outdated]
    print_stages(
        found.stages,
        records,
        chosen=dict(found.chosen),
        outdated=found.outdated,
        most=None if everything else MOST_ROWS,
    )
    if len(records) < len(found.records):
        left_out = len(found.records) - len(records)
        click.echo(f"{left_out} more of an earlier choice of `reduce` or config; see `flambe show --all`")
    for record in records:
        if record.status == "failed":
            click.echo(f"failed: {record.key.stage}/{record.key.variant}: {record.error}")
    return 0
