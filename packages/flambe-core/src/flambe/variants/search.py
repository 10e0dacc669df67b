"""What a search algorithm is to the engine: it suggests choices, and is told what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Choices = Mapping[str, "int | float"]
"""By a dimension's `name`: the index of an option, or the number for a numeric distribution."""


class Search(Protocol):
    """Chooses the variants of one stage that come from the same upstream variants.

    Scores are the higher the better; None stands for a trial that has failed or has no metric. Where
    `lower_is_better`, the stage's metric is the score with its sign turned.
    """

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to suggest."""

    def suggest(self) -> tuple[int, Choices] | None:
        """A number for what is suggested, and its choices; None as long as results must come first."""

    def note(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        """The trial of suggestion `number` has done a step."""

    def tell(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        """The trial of suggestion `number` has ended."""

    def add(self, choices: Choices) -> int:
        """A number for `choices`, which an earlier run has begun to try; said before the first suggestion."""
