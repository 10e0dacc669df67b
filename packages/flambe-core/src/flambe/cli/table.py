"""The table of a run's variants: after a run, and for `flambe show`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

import click

from flambe.experiment.journal import TrialRecord
from flambe.experiment.ranking import best_first
from flambe.experiment.session import Outcome
from flambe.trials.protocol import TrialKey

MOST_ROWS = 20


def print_outcome(outcome: Outcome, *, again: str) -> None:
    """The results on stdout; what went wrong, and how to go on, on stderr."""
    print_stages(outcome.stages, outcome.records.values(), chosen=outcome.chosen)
    for record in outcome.failed:
        click.echo(f"failed: {record.key.stage}/{record.key.variant}: {record.error}", err=True)
        click.echo(f"        see {outcome.folder}/{record.key.stage}/{record.key.variant}/log.txt", err=True)
    for problem in outcome.problems:
        click.echo(problem, err=True)
    if outcome.interrupted:
        click.echo(f"stopped; go on with: {again}", err=True)
    elif outcome.exit_code:
        click.echo(f"when it is mended, go on with: {again}", err=True)
    click.echo(f"results: {outcome.folder}")


def print_stages(
    stages: Sequence[str],
    records: Iterable[TrialRecord],
    *,
    chosen: Mapping[str, tuple[str, ...]] | None = None,
    outdated: Collection[TrialKey] = (),
    most: int | None = MOST_ROWS,
) -> None:
    """One table of all stages' variants, best first, those that flowed on after a `reduce` marked.

    Those that are `outdated` come last.
    """
    from rich.text import Text

    from flambe.cli.terminal import plain_table, show

    table = plain_table("stage", "variant", "status", right=("metric", "steps", "time"))
    records = list(records)
    by_stage: dict[str, list[TrialRecord]] = {stage: [] for stage in stages}
    for record in records:
        by_stage.setdefault(record.key.stage, []).append(record)
    for stage, found in by_stage.items():
        ranked = sorted(found, key=lambda record: (record.key in outdated, best_first(record)))
        kept = (chosen or {}).get(stage, ())
        for row, record in enumerate(ranked[:most]):
            table.add_row(
                stage if row == 0 else "",
                Text(_marked(record, kept, outdated)),
                Text(record.status, style=STYLES.get(record.status, "")),
                number(record.metric),
                str(record.step) if record.step else "",
                duration(record.seconds) if record.step else "",
            )
        if most is not None and len(ranked) > most:
            table.add_row("", f"… {len(ranked) - most} more; see `flambe show --all`", "", "", "", "")
    show(table)
    for record in records:
        if record.changes:
            click.echo(f"changed: {record.key.stage}/{record.key.variant}: {changes(record)}")
    if any((chosen or {}).values()):
        click.echo("* flows on after `reduce`")


def _marked(record: TrialRecord, kept: Collection[str], outdated: Collection[TrialKey]) -> str:
    marks = ["*"] * (record.key.variant in kept) + ["(changed)"] * bool(record.changes)
    marks += ["(of an earlier choice or config)"] * (record.key in outdated)
    return " ".join([record.key.variant, *marks])


def changes(record: TrialRecord) -> str:
    """The new values that the trial was given while it ran: `optimizer.lr=0.01, model.dropout=0.2`."""
    return ", ".join(f"{path}={json.dumps(value)}" for path, value in record.changes.items())


STYLES = {"done": "green", "failed": "red", "pruned": "yellow", "stopped": "yellow", "running": "cyan"}


def number(value: float | None) -> str:
    """A metric, short enough to compare by eye."""
    if value is None:
        return ""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"


def duration(seconds: float) -> str:
    """`0.3 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
