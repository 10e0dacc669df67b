"""`DistillationProcessor`: the same rows as a student and as a teacher see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

import numpy as np

from flambe_nlp.classification import TCProcessor
from flambe_nlp.tables import Tables
from flambe_torch.data import ArrayColumn, Column, Rows
from flambe_torch.errors import DataError

STUDENT, TEACHER, LABEL = "student", "teacher", "label"
"""The columns of the tables."""


class Texts(Protocol):
    """A data set whose training rows begin with a text; further values are not looked at."""

    @property
    def train(self) -> Sequence[Sequence[str]]: ...


class DistillationProcessor(Tables):
    """Two processors' views of one data set, side by side.

    A table holds the very columns of the processors' own tables: nothing is processed twice, and only
    what is asked for is processed. Both processors are saved as usual, as parts of this one.

    Args:
        student_processor: Makes the text's numbers for the student, and the labels'.
        teacher_processor: Makes the text's numbers for the teacher; of the same data set.
        unlabelled: Texts without labels: what has `train`, rows whose first value is a text.

    Attributes:
        train: The training part as a table of `student`, `teacher` and `label`; `dev` and `test` likewise.
        unlabelled: The texts without labels as a table of `student` and `teacher`.
        labels: The labels' names, by number; there are `num_labels` (or `n_labels`).

    Example:
        >>> from flambe_nlp.classification import QuestionsDataset
        >>> from flambe_nlp.fields import TextField
        >>> data = QuestionsDataset()
        >>> teacher = TCProcessor(data, TextField(lower=True))
        >>> DistillationProcessor(TCProcessor(data), teacher).dev
        Rows(263 rows: student, teacher, label)
    """

    def __init__(
        self,
        student_processor: TCProcessor,
        teacher_processor: TCProcessor,
        unlabelled: Texts | None = None,
    ) -> None:
        super().__init__()
        self.student_processor = student_processor
        self.teacher_processor = teacher_processor
        self._texts = unlabelled

    @property
    def unlabelled(self) -> Rows:
        return self._table("unlabelled")

    @property
    def labels(self) -> tuple[str, ...]:
        self._check_labels()
        return self.student_processor.labels

    @property
    def n_labels(self) -> int:
        return len(self.labels)

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    def _table_of(self, part: str) -> Rows:
        if part == "unlabelled":
            return self._unlabelled()
        self._check_labels()
        student, teacher = getattr(self.student_processor, part), getattr(self.teacher_processor, part)
        _check_rows(part, student, teacher)
        columns: Mapping[str, Column] = {
            **_named(STUDENT, student),
            **_named(TEACHER, teacher),
            LABEL: student.columns[student.names[-1]],
        }
        return Rows(columns)

    def _unlabelled(self) -> Rows:
        if self._texts is None:
            raise ValueError("DistillationProcessor was given no unlabelled texts: set `unlabelled`")
        texts = [_text_of(row) for row in self._texts.train]
        fields = {STUDENT: self.student_processor, TEACHER: self.teacher_processor}
        return Rows({name: _ready(made, texts) for name, made in fields.items()})

    def _check_labels(self) -> None:
        student, teacher = self.student_processor.labels, self.teacher_processor.labels
        if student == teacher:
            return
        pairs = enumerate(zip_longest(student, teacher, fillvalue="none"))
        number, (ours, theirs) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
        raise DataError(
            f"student and teacher number the labels differently: {number} is {ours!r} for the student's "
            f"processor and {theirs!r} for the teacher's; give both the same data set and label field"
        )


def _named(view: str, table: Rows) -> dict[str, Column]:
    """The table's columns but the label: `student`, or `student_<name>` where there are many."""
    inputs = table.names[:-1]
    if len(inputs) == 1:
        return {view: table.columns[inputs[0]]}
    return {f"{view}_{name}": table.columns[name] for name in inputs}


def _ready(processor: TCProcessor, texts: Sequence[str]) -> Column:
    _ = processor.labels  # makes the fields learn from the training part
    return processor.text_field.process(texts)


def _text_of(row: Sequence[str]) -> str:
    if isinstance(row, str):
        raise DataError(f"a row of the unlabelled texts must be a list that begins with a text, not {row!r}")
    return row[0]


def _check_rows(part: str, student: Rows, teacher: Rows) -> None:
    if len(student) != len(teacher):
        counts = f"{len(student)} rows for the student and {len(teacher)} for the teacher"
        raise DataError(f"the {part} part has {counts}; give both processors the same data set")
    ours, theirs = (table.columns[table.names[-1]] for table in (student, teacher))
    if not isinstance(ours, ArrayColumn) or not isinstance(theirs, ArrayColumn):
        return
    if ours.values.shape == theirs.values.shape:
        differ = np.flatnonzero((ours.values != theirs.values).reshape(len(ours), -1).any(axis=1))
    else:
        differ = np.arange(len(ours))
    if len(differ):
        raise DataError(
            f"row {differ[0]} of the {part} part has another label for the student than for the teacher; "
            "give both processors the same data set and label field"
        )
