"""The CUDA kernels of the `sru` package, which is imported only once a tensor on a CUDA device needs it.

Its import compiles: the kernels where the CUDA toolkit is (`CUDA_HOME`), else nothing useful. Hence it is
not imported without CUDA, and where there is no toolkit this package's own recurrence runs on the device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch

NOT_COMPILED = "Just-in-time loading and compiling the CUDA kernels"


def are_for(x: torch.Tensor) -> bool:
    """Whether the kernels can run on that tensor."""
    return x.is_cuda and x.dtype in {torch.float32, torch.float16} and _load() is not None


def recurrence() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """`sru.ops.elementwise_recurrence_gpu`; to be asked for only if `are_for` said so."""
    loaded = _load()
    assert loaded is not None
    return loaded


@cache
def _load() -> Callable[..., Any] | None:
    from torch.utils.cpp_extension import CUDA_HOME

    if CUDA_HOME is None:
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            operations = import_module("sru.ops")  # it has no types
        except (ImportError, RuntimeError, OSError):  # not installed, or its C++ part does not compile
            return None
    if any(NOT_COMPILED in str(warning.message) for warning in caught):
        return None
    kernel: Callable[..., Any] = operations.elementwise_recurrence_gpu
    return kernel
