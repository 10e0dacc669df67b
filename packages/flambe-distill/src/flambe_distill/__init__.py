"""Knowledge distillation for Flambé: `!dist.…` in a config.

The names below are imported when they are first used, so that the plugin costs nothing before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambe_distill.loss import DistillationLoss, soft_divergence
    from flambe_distill.processor import DistillationProcessor
    from flambe_distill.trainer import DistillationTrainer

_HOME_OF = {
    "DistillationLoss": "loss",
    "DistillationProcessor": "processor",
    "DistillationTrainer": "trainer",
    "soft_divergence": "loss",
}

__all__ = ["DistillationLoss", "DistillationProcessor", "DistillationTrainer", "soft_divergence"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'flambe_distill' has no attribute {name!r}")
    return getattr(importlib.import_module(f"flambe_distill.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
