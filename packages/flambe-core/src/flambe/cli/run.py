"""`flambe run FILE`."""

from __future__ import annotations

import logging
import shlex
import sys

import click

from flambe.cli.reading import read_config, read_secrets
from flambe.registry.registry import Registry


def _executors(context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in ("auto", *context.obj.executors()) if name.startswith(incomplete)]


class _Run(click.Command):
    """The command, with the options that plugins add for their executors."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, help_option = super().get_params(ctx)
        more = ctx.find_object(Registry)
        added = [] if more is None else [_option(name, line) for name, line in more.options().items()]
        return [*own, *added, help_option]


def _option(name: str, line: str) -> click.Option:
    return click.Option([f"--{name}"], metavar="VALUE", help=line)


@click.command("run", cls=_Run)
@click.argument("file", type=click.Path())
@click.argument("overrides", nargs=-1, metavar="[key.path=value]...")
@click.option("--resume", is_flag=True, help="Reuse what finished, go on with the rest.")
@click.option("--force", is_flag=True, help="Delete the results of an earlier run first.")
@click.option(
    "--backend",
    default="auto",
    metavar="NAME",
    shell_complete=_executors,
    help="The executor; see `flambe plugins`.",
)
@click.option("-i", "--install", is_flag=True, help="Install the header's extensions that are missing.")
@click.option("--secrets", metavar="FILE", help="An ini file for !secret (default ~/.flambe/secrets.ini).")
@click.option("--debug", is_flag=True, help="Run in this process, for breakpoints.")
@click.option("-v", "--verbose", is_flag=True, help="Also show what the stages log.")
def command(
    *,
    file: str,
    overrides: tuple[str, ...],
    resume: bool,
    force: bool,
    backend: str,
    install: bool,
    secrets: str | None,
    debug: bool,
    verbose: bool,
    **options: str | None,
) -> int:
    """Check FILE, run its pipeline, and print a table of the results.

    An override such as `stage1.optimizer.lr=0.01` replaces a value; its value is YAML, tags included.
    """
    if resume and force:
        raise click.UsageError("--resume and --force exclude each other")
    from flambe.cli.progress import display
    from flambe.cli.table import print_outcome
    from flambe.experiment.experiment import Experiment
    from flambe.experiment.runnable import runnable_from

    if verbose:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    chosen = {name.replace("_", "-"): given for name, given in options.items() if given is not None}
    document = read_config(file, overrides)
    runnable = runnable_from(document, install=install, secrets=read_secrets(secrets))
    if not isinstance(runnable, Experiment):
        runnable.run()
        return 0
    with display(verbose=verbose) as progress:
        outcome = runnable.run(
            resume=resume,
            force=force,
            backend=backend,
            install=install,
            progress=lambda line: click.echo(line, err=True),
            secrets=read_secrets(secrets),
            debug=debug,
            options=chosen,
            observe=progress.update,
            started=progress.started,
        )
    same = {"backend": None if backend == "auto" else backend, "secrets": secrets, **chosen}
    kept = [word for name, given in same.items() if given is not None for word in (f"--{name}", given)]
    again = shlex.join(["flambe", "run", file, *overrides, *kept, *["--debug"] * debug, "--resume"])
    print_outcome(outcome, again=again)
    return outcome.exit_code
