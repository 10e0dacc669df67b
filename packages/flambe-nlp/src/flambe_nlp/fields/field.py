"""What a field is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from flambe.component import Component
from flambe_torch.data import Column


class Field(Component, ABC):
    """Learns what it needs from the training part, then turns any texts into a column of numbers.

    Inherit for one of your own, and keep what was learned in `custom_state`.
    """

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the field has learned or loaded what `process` needs."""

    @abstractmethod
    def setup(self, texts: Sequence[str]) -> None:
        """Learn from the texts of the training part, such as their vocabulary."""

    @abstractmethod
    def process(self, texts: Sequence[str]) -> Column:
        """One row of numbers for each text.

        Raises:
            ValueError: `is_ready` is false.
        """
