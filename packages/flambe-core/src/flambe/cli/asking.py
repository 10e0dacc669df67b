"""What the commands that ask something of a run have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from flambe.experiment.control.requests import Action, Answer

_Command = TypeVar("_Command", bound=Callable[..., Any])

_run = click.argument("run", metavar="RUN", type=click.Path())
_variant = click.argument("variant", metavar="VARIANT")
timeout = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the run's answer.",
)


def about_a_trial(command: _Command) -> _Command:
    """The arguments RUN and VARIANT, and how long to wait for the answer."""
    return _run(_variant(timeout(command)))


def about_a_run(command: _Command) -> _Command:
    """The argument RUN, and how long to wait for the answer."""
    return _run(timeout(command))


def ask_and_tell(
    run: str, variant: str, action: Action, done: str, *, timeout_s: float, **values: Any
) -> int:
    """Ask the run something about a trial, and say what it answers."""
    from flambe.experiment.control.asking import ask

    return tell(ask(run, action, variant, timeout_s=timeout_s, **values), f"{variant}: {done}")


def tell(answer: Answer, done: str) -> int:
    """Say what a run has answered; the exit code is 1 where it refuses."""
    if answer.refused:
        click.echo(f"flambe: refused: {answer.why}", err=True)
        return 1
    click.echo(f"{done} {answer.why}".rstrip())
    return 0
