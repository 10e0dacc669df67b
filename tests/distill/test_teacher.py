from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from flambe import Component
from flambe_distill.teacher import Teacher, fingerprint
from flambe_torch.data import ArrayColumn, Column, ListColumn, NestedColumn, PackedColumn, Rows
from flambe_torch.nn import Module, SoftmaxDecoder


def model(**options: float) -> SoftmaxDecoder:
    torch.manual_seed(0)
    return SoftmaxDecoder(3, 2, **options)


def rows(columns: Column | None = None) -> Rows:
    return Rows({"x": columns or ArrayColumn.of([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])})


COLUMNS = [
    ArrayColumn.of([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]]),
    PackedColumn.of([[1, 2], [3]]),
    PackedColumn.of([[1], [2, 3]]),
    PackedColumn.of([[1, 2], [3]], pad_index=9),
    NestedColumn.of([[[1], [2]], [[3]]]),
    ListColumn(["a", "b"]),
    ListColumn(["a", "c"]),
]


def test_the_same_teacher_and_rows_have_the_same_fingerprint() -> None:
    assert fingerprint(model(), rows()) == fingerprint(model().eval(), rows())
    for column in COLUMNS:
        again = column.select([0, 1])
        assert fingerprint(model(), rows(column)) == fingerprint(model(), rows(again))


def test_other_weights_or_makes_have_another_fingerprint() -> None:
    other = model()
    with torch.no_grad():
        other.mlp.layers[0].bias[1] += 1e-6
    made = [model(), other, model(dropout=0.1), nn.Sequential(model()), model().to(torch.bfloat16)]
    assert len({fingerprint(each, rows()) for each in made}) == len(made)


class Scaled(Module):
    """A model whose weights do not tell by what its scores are multiplied."""

    def __init__(self, model: nn.Module, by: object) -> None:
        super().__init__()
        self.model, self.by = model, by


class Factor(Component):
    def __init__(self, value: float) -> None:
        self.value = value


def test_what_weights_do_not_tell_is_in_the_fingerprint() -> None:
    values = [2.0, 3.0, "2.0", None, [2.0], {"a": 2.0}, Factor(2.0), Factor(3.0)]
    arrays = [torch.tensor([2.0]), torch.tensor([3.0]), np.array([2.0]), np.array([3.0]), np.int64(2)]
    found = [fingerprint(Scaled(model(), by), rows()) for by in (*values, *arrays)]
    assert len(set(found)) == len(found)
    again = [fingerprint(Scaled(model(), by), rows()) for by in (Factor(2.0), torch.tensor([2.0]))]
    assert again == [found[6], found[8]]


def test_other_rows_have_another_fingerprint() -> None:
    found = {fingerprint(model(), rows(column)) for column in [None, *COLUMNS]}
    assert len(found) == 1 + len(COLUMNS)
    assert fingerprint(model(), rows(), 1) != fingerprint(model(), rows(), 0)


def test_each_part_of_the_teacher_is_left_in_the_mode_it_was_in() -> None:
    made = nn.Sequential(nn.Dropout().eval(), model())
    Teacher(made, torch.device("cpu")).scores(rows())
    assert [part.training for part in (made, *made)] == [True, False, True]


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_scores_are_in_the_order_of_the_rows(batch_size: int) -> None:
    class Length(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.stack([(tokens != 0).sum(1), tokens[:, 0]], dim=1)

    texts = [[5, 1, 1], [7], [6, 1], [9, 1, 1, 1], [8]]
    scores = Teacher(Length(), torch.device("cpu"), batch_size).scores(rows(PackedColumn.of(texts)))
    assert scores.tolist() == [[len(text), text[0]] for text in texts]
