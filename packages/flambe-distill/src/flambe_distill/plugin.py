"""What flambe-distill brings: hook implementations only, nothing heavy imported."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, hookimpl


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    """`dist` for knowledge distillation."""
    register.namespace("dist", ["flambe_distill"])
