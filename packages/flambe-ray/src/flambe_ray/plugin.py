"""What flambe-ray brings. Ray is not imported here: every target is a string."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, Register, hookimpl


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    """The schedulers and search algorithms of Ray Tune, under `tune` and under `ray`."""
    for prefix in ("tune", "ray"):
        register.namespace(prefix, ["flambe_ray.tune"])


@hookimpl
def flambe_register_checks(register: Register) -> None:
    register("pairings", "flambe_ray.pairings:warn_of", help="schedulers and searches that gain nothing")


@hookimpl
def flambe_register_executors(register: Register) -> None:
    register("ray", "flambe_ray.executor:RayExecutor", help="a Ray cluster, or Ray on this machine")


@hookimpl
def flambe_register_options(register: Register) -> None:
    register(
        "ray-address",
        "flambe_ray.executor:RayExecutor",
        help="Run on the Ray cluster at this address (host:port), with all its machines.",
    )
