"""What a trial changes of its process goes with it: the next trial finds the process as this one did."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def left_as_found() -> Iterator[None]:
    """Puts back the working folder, environment variables, warning filters and log levels and handlers.

    Modules and what they hold are the user's own and stay as they are.
    """
    folder, environment = _folder(), dict(os.environ)
    root = logging.getLogger()
    level, disabled, handlers = root.level, root.manager.disable, root.handlers[:]
    try:
        with warnings.catch_warnings():
            yield
    finally:
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # somebody has removed it
                os.chdir(folder)
        if dict(os.environ) != environment:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)
        root.setLevel(level)
        root.manager.disable = disabled
        root.handlers[:] = handlers


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None
