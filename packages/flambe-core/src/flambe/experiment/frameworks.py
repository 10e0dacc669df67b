"""Seeds, threads and random state of numeric frameworks, so that a trial is repeatable and resumable."""

from __future__ import annotations

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
