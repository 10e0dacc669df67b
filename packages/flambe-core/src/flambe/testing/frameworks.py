"""The contract of numeric frameworks, as tests that each inherits."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from flambe.trials.frameworks import Framework


class FrameworkContract:
    """What every framework does. Inherit it, give the fixture `framework` and the method `draw`.

    Example:
        >>> import random
        >>> import pytest
        >>> from flambe.trials.frameworks import PythonRandom
        >>> class TestPythonRandom(FrameworkContract):
        ...     @pytest.fixture
        ...     def framework(self):
        ...         return PythonRandom()
        ...
        ...     def draw(self):
        ...         return [random.random(), random.gauss(0, 1)]
    """

    @pytest.fixture
    def framework(self) -> Framework:
        """The framework."""
        raise NotImplementedError("give a fixture `framework`")

    def draw(self) -> Sequence[float]:
        """Random numbers of every kind that the framework makes."""
        raise NotImplementedError("give a method `draw`")

    @pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
    def test_a_seed_repeats_all_numbers(self, framework: Framework, seed: int) -> None:
        framework.seed(seed)
        first = list(self.draw())
        self.draw()
        framework.seed(seed)
        assert list(self.draw()) == first

    def test_seeds_differ(self, framework: Framework) -> None:
        framework.seed(1)
        first = list(self.draw())
        framework.seed(2)
        assert list(self.draw()) != first

    def test_the_random_state_survives_as_json(self, framework: Framework) -> None:
        framework.seed(3)
        self.draw()
        stored = json.dumps(framework.random_state())
        expected = list(self.draw())
        framework.seed(4)
        self.draw()
        framework.set_random_state(json.loads(stored))
        assert list(self.draw()) == expected

    def test_reading_the_state_draws_nothing(self, framework: Framework) -> None:
        framework.seed(5)
        expected = list(self.draw())
        framework.seed(5)
        framework.random_state()
        assert list(self.draw()) == expected

    def test_the_number_of_threads_can_be_set_again_and_again(self, framework: Framework) -> None:
        for count in (2, 1):
            framework.set_threads(count)

    def test_modes_are_put_back(self, framework: Framework) -> None:
        modes = framework.modes()
        framework.set_modes(modes)
        assert framework.modes() == modes
