"""Reading a config for a command: the file, its overrides, the secrets."""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from pathlib import Path

from flambe.errors import FlambeError
from flambe.language.overrides import apply_overrides
from flambe.language.read import Document, read_file

DEFAULT_SECRETS = Path("~/.flambe/secrets.ini")


def read_config(file: str, overrides: Sequence[str]) -> Document:
    """The config at `file` with `key.path=value` overrides applied."""
    document = read_file(file)
    return apply_overrides(document, list(overrides)) if overrides else document


def read_secrets(file: str | None) -> dict[str, dict[str, str]]:
    """The entries of an ini file by section; those of `~/.flambe/secrets.ini` unless a file is given."""
    path = Path(file).expanduser() if file else DEFAULT_SECRETS.expanduser()
    if not path.exists():
        if file:
            raise FlambeError(f"there is no secrets file {path}")
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FlambeError(f"cannot read the secrets file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FlambeError(f"{path}: this is not UTF-8 text") from error
    except configparser.Error as error:
        place = getattr(error, "lineno", None)
        raise FlambeError(f"{path}{f':{place}' if place else ''}: not an ini file of sections") from error
    return {section: dict(parser[section]) for section in parser.sections()}
