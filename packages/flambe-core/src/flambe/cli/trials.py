"""`flambe trials RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flambe.experiment.journal import TrialRecord


@click.command("trials")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--stage", metavar="STAGE", help="Only the trials of one stage.")
def command(*, run: str, as_json: bool, stage: str | None) -> int:
    """List a run's trials as they are now, with what has been changed. RUN is its folder; it may be going."""
    import json

    from flambe.errors import RunError
    from flambe.experiment.naming import short_id
    from flambe.experiment.reading import read_run
    from flambe.experiment.run_folder import trial_values

    found = read_run(run)
    if stage is not None and stage not in found.stages:
        raise RunError(f"the run has no stage {stage!r}; it has {', '.join(found.stages)}")
    records = [record for name in found.stages if stage in (None, name) for record in found.of(name)]
    if as_json:
        click.echo(json.dumps([{"id": short_id(r.key), **trial_values(r)} for r in records], indent=2))
    else:
        _print(records)
    return 0


def _print(records: Iterable[TrialRecord]) -> None:
    from rich.text import Text

    from flambe.cli.table import STYLES, changes, number
    from flambe.cli.terminal import plain_table, show
    from flambe.experiment.naming import short_id

    table = plain_table("id", "stage", "variant", "status", "changed", right=("step", "metric"))
    for record in records:
        status = f"paused by {record.paused_by}" if record.paused_by else record.status
        table.add_row(
            Text(short_id(record.key)),
            Text(record.key.stage),
            Text(record.key.variant),
            Text(status, style=STYLES.get(record.status, "")),
            Text(changes(record)),
            str(record.step) if record.step else "",
            number(record.metric),
        )
    show(table)
