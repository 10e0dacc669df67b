"""`flambe stop RUN VARIANT`."""

from __future__ import annotations

import click

from flambe.cli.asking import about_a_trial, ask_and_tell


@click.command("stop")
@about_a_trial
def command(*, run: str, variant: str, timeout_s: float) -> int:
    """End a trial of a run that is going after its present step; what it has come to is saved.

    RUN is the run's folder; VARIANT is `stage/variant`, or as much of its id as is unique.
    """
    return ask_and_tell(run, variant, "stop", "stopped", timeout_s=timeout_s)
