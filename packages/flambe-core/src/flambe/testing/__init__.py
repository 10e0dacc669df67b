"""What executors, codecs, frameworks and sinks promise, as tests that third parties inherit."""

from flambe.testing.codecs import CodecContract
from flambe.testing.executors import Driver, ExecutorContract
from flambe.testing.frameworks import FrameworkContract
from flambe.testing.sinks import SinkContract

__all__ = ["CodecContract", "Driver", "ExecutorContract", "FrameworkContract", "SinkContract"]
