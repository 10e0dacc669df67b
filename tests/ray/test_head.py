"""What the user is told when the machine that directs a cluster is gone."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from flambe_ray.head import HeadWatch


def test_it_is_told_once_that_the_head_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "flambe")
    head = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{head.getsockname()[1]}"
    watch = HeadWatch(address, every_s=0.01, silent_s=0.1)
    time.sleep(0.3)
    assert caplog.records == []
    head.close()
    end = time.monotonic() + 10
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)
    watch.close()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"the head of the Ray cluster does not answer at {address}")
