"""`TabularProcessor`: any columns of a data set as tables of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from flambe_nlp.fields.field import Field
from flambe_nlp.tables import RowsOfStrings, Tables
from flambe_torch.data import Column, Rows
from flambe_torch.errors import DataError


class Picked(TypedDict):
    """A field and the columns of a row, from 0, that it is for."""

    field: Field
    columns: int | Sequence[int]


class _Made(NamedTuple):
    """A column of the tables: its name, its field, and the row's column that it is made of."""

    name: str
    field: Field
    place: int


class TabularProcessor(Tables):
    """Turns columns of a data set into numbers, each with a field of its own.

    Fields learn from the training part alone. As in `TCProcessor`, nothing is read before it is needed, and
    what the fields learned is saved.

    Args:
        dataset: What has `train`, `dev` and `test`, each rows of strings.
        transform: The tables' columns by name, the target last: a field each, for the row's columns one after
            the other. Or `{field: …, columns: 2}` for another column of the row; with a list of columns the
            field learns from all of them, and each is a column of the table: `name_0`, `name_1`, …

    Attributes:
        train: The training part as a table; `dev` and `test` likewise.
        fields: The fields by name, once they have learned: `!@ data.fields.text.vocab_size`.

    Example:
        >>> from flambe_nlp.datasets import QuestionsDataset
        >>> from flambe_nlp.fields import LabelField, TextField, WordCharsField
        >>> transform = {
        ...     "text": TextField(),
        ...     "chars": {"field": WordCharsField(), "columns": 0},
        ...     "label": {"field": LabelField(), "columns": 1},
        ... }
        >>> processor = TabularProcessor(QuestionsDataset(), transform)
        >>> [tuple(column.shape) for column in processor.test.batch([0, 1])]
        [(2, 17), (2, 17, 9), (2,)]
        >>> processor.fields["label"].vocab_size
        6
    """

    def __init__(self, dataset: RowsOfStrings, transform: Mapping[str, Field | Picked]) -> None:
        if not transform:
            raise ValueError("transform must name at least one column")
        super().__init__()
        self.dataset = dataset
        self.transform = transform
        self._fields = {name: _field(name, given) for name, given in transform.items()}
        self._columns = [made for place, name in enumerate(transform) for made in self._made(place, name)]

    @property
    def fields(self) -> Mapping[str, Any]:
        self._learn()
        return self._fields

    def custom_state(self) -> Mapping[str, Any] | None:
        """What fields learned only now, after their own states were asked for."""
        late = [name for name, field in self._fields.items() if not field.is_ready]
        self._learn()
        return {name: dict(self._fields[name].custom_state() or {}) for name in late} or None

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        for name, own in state.items():
            self._fields[name].load_custom_state(own)

    def _made(self, place: int, name: str) -> list[_Made]:
        field, given = self._fields[name], self.transform[name]
        columns = place if isinstance(given, Field) else given["columns"]
        if isinstance(columns, int):
            return [_Made(name, field, columns)]
        return [_Made(f"{name}_{number}", field, column) for number, column in enumerate(columns)]

    def _learn(self) -> None:
        waiting = {id(made.field): made.field for made in self._columns if not made.field.is_ready}
        if not waiting:
            return
        rows = self.dataset.train
        if not len(rows):
            raise DataError("the data set has no training rows")
        for key, field in waiting.items():
            places = [made.place for made in self._columns if id(made.field) == key]
            field.setup([text for place in places for text in _column("train", rows, place)])

    def _table_of(self, part: str) -> Rows:
        self._learn()
        rows = getattr(self.dataset, part)
        return Rows({made.name: _processed(made, part, rows) for made in self._columns})


def _field(name: str, given: Field | Picked) -> Field:
    if isinstance(given, Field):
        return given
    if not isinstance(given, Mapping) or given.keys() != {"field", "columns"}:
        raise ValueError(
            f"transform {name!r} must be a field, or have 'field' and 'columns'; it is {given!r}"
        )
    return given["field"]


def _processed(made: _Made, part: str, rows: Sequence[Sequence[str]]) -> Column:
    try:
        return made.field.process(_column(part, rows, made.place))
    except DataError as error:
        raise DataError(f"the {part} part, column {made.name!r}: {error}") from error


def _column(part: str, rows: Sequence[Sequence[str]], place: int) -> list[str]:
    try:
        return [row[place] for row in rows]
    except IndexError:
        sizes = sorted({len(row) for row in rows})
        raise DataError(f"the {part} part has rows of {sizes} values, and no column {place}") from None
