"""What executors, codecs, frameworks and sinks promise, as tests that third parties inherit.

They need pytest, which is imported with the first of them; `flambe.testing.stages` does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambe.testing.codecs import CodecContract
    from flambe.testing.driver import Driver
    from flambe.testing.executors import ExecutorContract
    from flambe.testing.frameworks import FrameworkContract
    from flambe.testing.sinks import SinkContract

__all__ = ["CodecContract", "Driver", "ExecutorContract", "FrameworkContract", "SinkContract"]

_MODULES = {
    "CodecContract": "codecs",
    "Driver": "driver",
    "ExecutorContract": "executors",
    "FrameworkContract": "frameworks",
    "SinkContract": "sinks",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
