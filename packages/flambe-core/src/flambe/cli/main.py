"""The command line: a group whose commands come from plugins, core's own included."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from flambe.errors import FlambeError
from flambe.registry.registry import Registry
from flambe.registry.suggestions import did_you_mean, nearest

CONFIG_ENDINGS = (".yaml", ".yml")


class Commands(click.Group):
    """Finds commands in the registry and imports one only when it is used. A file stands for `run FILE`."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            "flambe",
            help="Machine-learning experiments from one YAML file.\n\n`flambe FILE` is `flambe run FILE`.",
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self.registry = registry

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.registry.commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.registry.commands().get(cmd_name)
        if found is None:
            return None
        command: click.Command = found.load()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.registry.commands()
        if args and args[0] not in known and not ctx.resilient_parsing:
            if not _is_config(args[0]):
                advice = did_you_mean(nearest(args[0], known))
                raise click.UsageError(f"there is no command and no file {args[0]!r}{advice}", ctx)
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their one line of help, none of them imported."""
        rows = [(name, entry.help) for name, entry in sorted(self.registry.commands().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: an expected error is one message and an exit code, only a bug shows a traceback."""
    _find_modules_here()
    registry = Registry.load()
    group = click.version_option(package_name="flambe-core", prog_name="flambe")(Commands(registry))
    try:
        code = group.main(arguments, prog_name="flambe", standalone_mode=False, obj=registry)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        code = 130
    except FlambeError as error:
        code = report(error)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def report(error: FlambeError) -> int:
    """Prints an expected error and returns the exit code that fits it."""
    from flambe.errors import ConfigError

    if isinstance(error, ConfigError):
        from flambe.check.render import text

        click.echo(text(error.problems, color=sys.stderr.isatty()), err=True)
        return 2
    click.echo(f"flambe: {error}", err=True)
    return 1


def _find_modules_here() -> None:
    """Lets a header name a module of the working folder; what is installed goes first."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)


def _is_config(argument: str) -> bool:
    return argument.endswith(CONFIG_ENDINGS) or os.path.isfile(argument)
