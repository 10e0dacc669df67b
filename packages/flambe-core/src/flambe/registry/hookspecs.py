"""The hooks of a plugin: core passes `register`, the plugin calls it.

A plugin is a module named in the entry-point group `flambe`. Everything is registered as a string
`"module:attribute"`, so that loading a plugin imports no framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pluggy

hookspec = pluggy.HookspecMarker("flambe")
hookimpl = pluggy.HookimplMarker("flambe")


class ComponentRegister(Protocol):
    """What `flambe_register_components` receives."""

    def tag(self, name: str, target: str) -> None:
        """Make `!name` build `target` (`"module:attribute"`). `name` may be bare or `namespace.Name`."""

    def namespace(self, prefix: str, modules: Sequence[str], *, bare: bool = False) -> None:
        """Make `!prefix.Name` the attribute `Name` of the first of `modules` that has it.

        With `bare`, `!Name` finds it too.
        """


class Register(Protocol):
    """What the other hooks receive."""

    def __call__(self, name: str, target: str, *, needs: str | None = None, help: str = "") -> None:
        """Add `target` (`"module:attribute"`) under `name`.

        `needs` names a module: the target is only imported once that module is (a codec for torch tensors
        is not asked before torch is there). `help` is one line for the command line.
        """


@hookspec
def flambe_register_components(register: ComponentRegister) -> None:
    """Add tags and namespaces."""


@hookspec
def flambe_register_executors(register: Register) -> None:
    """Add executors (`flambe.executors.protocol.Executor` classes) under the names that `--backend` takes."""


@hookspec
def flambe_register_options(register: Register) -> None:
    """Add options of executors to `flambe run`: `--name VALUE` reaches the executor that is the target."""


@hookspec
def flambe_register_checks(register: Register) -> None:
    """Add checks (`flambe.check.advice.StageCheck` functions): what the check of a config warns of."""


@hookspec
def flambe_register_codecs(register: Register) -> None:
    """Add state codecs (`flambe.saving.protocol.StateCodec` classes): how foreign objects are saved."""


@hookspec
def flambe_register_frameworks(register: Register) -> None:
    """Add frameworks (`flambe.trials.frameworks.Framework` classes): seeds, threads, random state."""


@hookspec
def flambe_register_sinks(register: Register) -> None:
    """Add metric sinks (`flambe.logs.MetricSink` classes): where what trials log is shown."""


@hookspec
def flambe_register_commands(register: Register) -> None:
    """Add commands (`click.Command` objects) to the command line."""


@hookspec
def flambe_register_storage(register: Register) -> None:
    """Add storage: under a URL's protocol, a function from a URL to a `flambe.storage.storage.Storage`."""
