"""Random numbers for code that takes them from wherever it finds some."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Randomness:
    """A stream of its own for code that draws from, or seeds, the generators of the whole process.

    Example:
        >>> mine = Randomness(1)
        >>> with mine.instead():
        ...     first = random.random()
        >>> with Randomness(1).instead():
        ...     assert random.random() == first
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._states: dict[str, Any] = {}

    def after(self, draws: int) -> Randomness:
        """Another stream, one for each number."""
        return Randomness(self._seed + draws)

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Has `random`, NumPy and torch, where imported, go on with this stream; and afterwards as before."""
        before = _states()
        for name in before:
            if name in self._states:
                _GENERATORS[name][1](self._states[name])
            else:
                _GENERATORS[name][2](self._seed)
        try:
            yield
        finally:
            self._states = _states()
            for name, state in before.items():
                _GENERATORS[name][1](state)


def _states() -> dict[str, Any]:
    return {name: state() for name, (state, _, _) in _GENERATORS.items() if name in sys.modules}


def _numpy() -> Any:
    return sys.modules["numpy"].random


def _torch() -> Any:
    return sys.modules["torch"]


def _seed_torch(seed: int) -> None:
    _torch().random.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs too


_GENERATORS: dict[str, tuple[Any, Any, Any]] = {
    "random": (random.getstate, random.setstate, random.seed),
    "numpy": (
        lambda: _numpy().get_state(),
        lambda state: _numpy().set_state(state),
        lambda seed: _numpy().seed(seed % 2**32),
    ),
    "torch": (
        lambda: _torch().get_rng_state(),
        lambda state: _torch().set_rng_state(state),
        _seed_torch,
    ),
}
"""By module: how its generator's state is had, set, and made from a seed."""
