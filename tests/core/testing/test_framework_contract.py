from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from flambe.testing import FrameworkContract
from flambe.trials.frameworks import Framework, NumpyRandom, PythonRandom


class TestPythonRandom(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return PythonRandom()

    def draw(self) -> Sequence[float]:
        return [random.random(), random.gauss(0, 1), random.randrange(10**9)]


class TestNumpyRandom(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return NumpyRandom()

    def draw(self) -> Sequence[float]:
        return [*np.random.rand(3), np.random.randn(), np.random.randint(10**6)]
