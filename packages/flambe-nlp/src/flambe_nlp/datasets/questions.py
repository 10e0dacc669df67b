"""The question data set that comes with this package."""

from __future__ import annotations

from importlib.resources import files

from flambe_nlp.datasets.dataset import Parts, TextDataset
from flambe_nlp.datasets.trec import Labels, checked, read_trec


class QuestionsDataset(TextDataset):
    """Questions in TREC's format and classes, written for this project and shipped with it.

    The three parts do not overlap. `data/questions/README.md` in this package says more.

    Args:
        labels: `coarse` (`LOC`) or `fine` (`LOC:city`).

    Example:
        >>> QuestionsDataset().test[0]
        ('How much is the Nobel Prize worth?', 'NUM')
    """

    def __init__(self, labels: Labels = "coarse") -> None:
        self.labels = checked(labels)

    def read(self) -> Parts:
        folder = files("flambe_nlp") / "data" / "questions"
        return Parts(*(read_trec(str(folder / f"{part}.label"), self.labels) for part in Parts._fields))
