"""PyTorch for Flambé: trainers, samplers, modules, metrics, TensorBoard.

The names below are imported when they are first used, so that the plugin costs nothing before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambe_torch.data import Rows
    from flambe_torch.episodes import EpisodicSampler, QuerySampler
    from flambe_torch.evaluator import Evaluator
    from flambe_torch.metrics import Metric
    from flambe_torch.nn import Model, Module
    from flambe_torch.samplers import BaseSampler, Sampler
    from flambe_torch.tensorboard import TensorBoard
    from flambe_torch.trainer import Trainer

_HOME_OF = {
    "BaseSampler": "samplers",
    "EpisodicSampler": "episodes",
    "Evaluator": "evaluator",
    "Metric": "metrics",
    "Model": "nn",
    "Module": "nn",
    "QuerySampler": "episodes",
    "Rows": "data",
    "Sampler": "samplers",
    "TensorBoard": "tensorboard",
    "Trainer": "trainer",
}

__all__ = [
    "BaseSampler",
    "EpisodicSampler",
    "Evaluator",
    "Metric",
    "Model",
    "Module",
    "QuerySampler",
    "Rows",
    "Sampler",
    "TensorBoard",
    "Trainer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'flambe_torch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"flambe_torch.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
