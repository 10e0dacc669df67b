from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_torch.evaluator import Evaluator
from flambe_torch.metrics import Perplexity
from flambe_torch.nn import Model, RNNEncoder
from flambe_torch.predicting import predicted

B, T, WIDTH, HIDDEN = 3, 8, 5, 7


@pytest.mark.parametrize(("rnn_type", "tensors"), [("lstm", 2), ("gru", 1), ("rnn", 1)])
def test_a_text_read_in_parts_is_encoded_as_the_whole(rnn_type: str, tensors: int) -> None:
    torch.manual_seed(0)
    encoder = RNNEncoder(WIDTH, HIDDEN, 2, rnn_type=rnn_type)
    x = torch.randn(B, T, WIDTH)
    first, state = encoder.unroll(x[:, :3])
    second, state = encoder.unroll(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), encoder(x))
    assert [tuple(tensor.shape) for tensor in state] == [(2, B, HIDDEN)] * tensors


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"pooling": "last"}])
def test_only_what_reads_forwards_can_be_unrolled(options: dict[str, object]) -> None:
    encoder = RNNEncoder(WIDTH, HIDDEN, **options)  # type: ignore[arg-type]  # both kinds are meant
    with pytest.raises(ValueError, match="cannot read a text in parts"):
        encoder.unroll(torch.zeros(B, T, WIDTH))


class Tagger(Model):
    """Scores as they are given; a target of 0 is padding."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return inputs[0]

    def for_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return predictions[target != 0], target[target != 0]


def test_a_model_arranges_what_losses_and_metrics_see() -> None:
    scores = torch.randn(B, T, 4).log_softmax(-1)
    target = torch.randint(0, 4, (B, T))
    rows, classes = predicted(Tagger(), (scores, target))
    assert rows.shape == (int((target != 0).sum()), 4)
    assert (classes != 0).all()
    plain, given = predicted(nn.Identity(), (scores, target))
    assert plain is scores
    assert given is target
    evaluator = Evaluator(Tagger(), Perplexity(), [(scores, target)])  # type: ignore[arg-type]  # a pass will do
    evaluator.step()
    picked = scores.gather(2, target[..., None])[..., 0][target != 0]
    assert evaluator.metric() == pytest.approx(float((-picked.mean()).exp()), rel=1e-5)
