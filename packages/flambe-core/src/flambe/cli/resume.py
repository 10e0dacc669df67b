"""`flambe resume RUN VARIANT`."""

from __future__ import annotations

import click

from flambe.cli.asking import about_a_trial, ask_and_tell


@click.command("resume")
@about_a_trial
def command(*, run: str, variant: str, timeout_s: float) -> int:
    """Let a trial that `flambe pause` has paused go on. (A whole run goes on with `flambe run --resume`.)

    RUN is the run's folder; VARIANT is `stage/variant`, or as much of its id as is unique.
    """
    return ask_and_tell(run, variant, "resume", "goes on", timeout_s=timeout_s)
