from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_distill.teacher import Teacher, fingerprint
from flambe_torch.data import ArrayColumn, Column, ListColumn, NestedColumn, PackedColumn, Rows
from flambe_torch.nn import SoftmaxDecoder


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


def test_other_rows_have_another_fingerprint() -> None:
    found = {fingerprint(model(), rows(column)) for column in [None, *COLUMNS]}
    assert len(found) == 1 + len(COLUMNS)
    assert fingerprint(model(), rows(), 1) != fingerprint(model(), rows(), 0)


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_scores_are_in_the_order_of_the_rows(batch_size: int) -> None:
    class Length(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.stack([(tokens != 0).sum(1), tokens[:, 0]], dim=1)

    texts = [[5, 1, 1], [7], [6, 1], [9, 1, 1, 1], [8]]
    scores = Teacher(Length(), torch.device("cpu"), batch_size).scores(rows(PackedColumn.of(texts)))
    assert scores.tolist() == [[len(text), text[0]] for text in texts]
