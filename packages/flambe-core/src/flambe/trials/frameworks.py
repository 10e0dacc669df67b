"""Seeds, threads and random state of numeric frameworks, so that a trial is repeatable and resumable."""

from __future__ import annotations

import random
import sys
from typing import Any, Protocol


class Framework(Protocol):
    """A numeric framework with random numbers and threads of its own."""

    def seed(self, seed: int) -> None:
        """Seed every generator; `seed` is in [0, 2**32)."""

    def set_threads(self, count: int) -> None:
        """Use `count` threads from now on."""

    def random_state(self) -> Any:
        """The state of every generator, as JSON values."""

    def set_random_state(self, state: Any) -> None:
        """Take back what `random_state` returned."""

    def modes(self) -> Any:
        """What else user code may set for the whole process, such as a default type."""

    def set_modes(self, modes: Any) -> None:
        """Put back what `modes` returned, for the next trial in this process."""


class PythonRandom:
    """The standard library's `random`."""

    def seed(self, seed: int) -> None:
        random.seed(seed)

    def set_threads(self, count: int) -> None:
        """Nothing: it has no threads."""

    def random_state(self) -> Any:
        version, internal, gauss = random.getstate()
        return [version, list(internal), gauss]

    def set_random_state(self, state: Any) -> None:
        version, internal, gauss = state
        random.setstate((version, tuple(internal), gauss))

    def modes(self) -> None:
        """Nothing: it has none."""

    def set_modes(self, modes: None) -> None:
        """Nothing, as there are none."""


class NumpyRandom:
    """NumPy's global generator; only asked once something imported NumPy."""

    def seed(self, seed: int) -> None:
        sys.modules["numpy"].random.seed(seed)

    def set_threads(self, count: int) -> None:
        """Nothing: its thread pools follow the environment of the process."""

    def random_state(self) -> Any:
        name, keys, position, has_gauss, gauss = sys.modules["numpy"].random.get_state()
        return [name, keys.tolist(), position, has_gauss, gauss]

    def set_random_state(self, state: Any) -> None:
        sys.modules["numpy"].random.set_state(tuple(state))

    def modes(self) -> Any:
        """How errors of floating-point numbers are treated, and how arrays are printed."""
        numpy = sys.modules["numpy"]
        return numpy.geterr(), numpy.get_printoptions()

    def set_modes(self, modes: Any) -> None:
        numpy = sys.modules["numpy"]
        errors, printing = modes
        numpy.seterr(**errors)
        numpy.set_printoptions(**printing)
