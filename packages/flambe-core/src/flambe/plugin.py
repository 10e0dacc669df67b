"""What core itself brings, through the same hooks as every plugin."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, Register, hookimpl


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    """The experiment: the runnable that a config holds unless it says otherwise."""
    register.tag("Experiment", "flambe.experiment.experiment:Experiment")


@hookimpl
def flambe_register_executors(register: Register) -> None:
    """The executors of this machine."""
    register("local", "flambe.executors.local:Local", help="this process for a lone trial, else a pool")
    register("in-process", "flambe.executors.in_process:InProcess", help="one trial after the other, here")
    register("pool", "flambe.executors.pool:Pool", help="reused worker processes")
