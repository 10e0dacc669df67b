"""`flambe set RUN VARIANT key=value …`."""

from __future__ import annotations

from typing import Any

import click

from flambe.cli.asking import about_a_trial, ask_and_tell


@click.command("set")
@about_a_trial
@click.argument("values", nargs=-1, required=True, metavar="key=value...")
def command(*, run: str, variant: str, values: tuple[str, ...], timeout_s: float) -> int:
    """Give arguments of a running trial new values; it goes on with them after its present step.

    A key is a path in the stage, such as `optimizer.lr`; a value is YAML. What can change is up to the
    stage: one that refuses goes on as it was. RUN is the run's folder; VARIANT is `stage/variant`, or as
    much of its id as is unique.
    """
    given = dict(_read(value) for value in values)
    done = ", ".join(values)
    return ask_and_tell(run, variant, "set", done, timeout_s=timeout_s, values=given)


def _read(argument: str) -> tuple[str, Any]:
    from flambe.errors import ConfigError
    from flambe.experiment.settings import plain
    from flambe.language.read import argument_file, read_value

    path, equals, text = argument.partition("=")
    if not equals or not path:
        raise click.UsageError(f"expected key=value, not {argument!r}")
    node, problems = read_value(text, argument_file(argument))
    if problems:
        raise ConfigError(problems)
    try:
        return path, _finite(plain(node))
    except TypeError:
        raise click.UsageError(f"{argument}: a value with a tag cannot be given to a running trial") from None


def _finite(value: Any) -> Any:
    import json

    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise click.UsageError("a value that is not a finite number cannot be written down") from None
    return value
