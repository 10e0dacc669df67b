"""What executors, sinks, codecs and frameworks promise, as tests that third parties inherit."""

from flambe.testing.executors import Driver, ExecutorContract

__all__ = ["Driver", "ExecutorContract"]
