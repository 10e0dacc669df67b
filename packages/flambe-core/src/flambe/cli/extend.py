"""`flambe extend RUN --samples N`."""

from __future__ import annotations

import click

from flambe.cli.asking import about_a_run, tell


@click.command("extend")
@click.option("--samples", type=click.IntRange(min=1), required=True, metavar="N", help="How many more.")
@click.option("--stage", metavar="STAGE", help="Which stage, where more than one could.")
@about_a_run
def command(*, run: str, samples: int, stage: str | None, timeout_s: float) -> int:
    """Try N variants more of a stage with a search, or with distributions to draw from.

    RUN is the run's folder. It is as if `num_samples` had been so much larger: the variants that there are
    stay what they are. A run that is not going finds it when it is resumed.
    """
    from flambe.experiment.control.asking import ask_for_more

    answer = ask_for_more(run, samples, stage=stage, timeout_s=timeout_s)
    return tell(answer, f"{samples} sample{'s' * (samples != 1)} more:" if answer.why else "extended")
