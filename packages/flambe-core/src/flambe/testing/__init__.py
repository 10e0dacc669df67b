"""What executors, codecs, frameworks and sinks promise, as tests that third parties inherit."""

from flambe.testing.codecs import CodecContract
from flambe.testing.driver import Driver
from flambe.testing.executors import ExecutorContract
from flambe.testing.frameworks import FrameworkContract
from flambe.testing.sinks import SinkContract

__all__ = ["CodecContract", "Driver", "ExecutorContract", "FrameworkContract", "SinkContract"]
