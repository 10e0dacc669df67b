"""What can be asked of Lightning's arguments without importing it, which takes seconds.

A config is checked by the classes that it names, and they import Lightning only once they train.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    import pytorch_lightning as pl


def is_lightning(model: object) -> TypeGuard[pl.LightningModule]:
    """Whether `model` is a `LightningModule`; where Lightning is not imported, none can be."""
    lightning = sys.modules.get("pytorch_lightning")
    return lightning is not None and isinstance(model, lightning.LightningModule)


def measures_averages(callbacks: Sequence[pl.Callback]) -> bool:
    """Whether a callback lets averages of the weights be measured, not the weights that are trained."""
    lightning = sys.modules.get("pytorch_lightning")
    averaging = getattr(lightning.callbacks, "WeightAveraging", ()) if lightning is not None else ()
    return any(isinstance(callback, averaging) for callback in callbacks)


def team_size(devices: int | str | Sequence[int]) -> int:
    """How many processes `devices`, an argument of Lightning's, asks for."""
    if isinstance(devices, str):
        return len([part for part in devices.split(",") if part]) if "," in devices else _number(devices)
    return devices if isinstance(devices, int) else len(devices)


def _number(devices: str) -> int:
    return int(devices) if devices.lstrip("-").isdigit() else 1
