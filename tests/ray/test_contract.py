"""The executor's contract, on a real Ray."""

from __future__ import annotations

import pytest

from flambe.executors.protocol import Executor
from flambe.testing import ExecutorContract
from flambe_ray.executor import RayExecutor
from flambe_ray.session import Session


class TestRayExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, ray_session: Session) -> Executor:
        return RayExecutor()
