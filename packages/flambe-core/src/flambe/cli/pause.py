"""`flambe pause RUN VARIANT`."""

from __future__ import annotations

import click

from flambe.cli.asking import about_a_trial, ask_and_tell


@click.command("pause")
@about_a_trial
def command(*, run: str, variant: str, timeout_s: float) -> int:
    """Let a trial of a run that is going leave with a checkpoint, until `flambe resume` lets it go on.

    RUN is the run's folder; VARIANT is `stage/variant`, or as much of its id as is unique.
    """
    return ask_and_tell(run, variant, "pause", "paused", timeout_s=timeout_s)
