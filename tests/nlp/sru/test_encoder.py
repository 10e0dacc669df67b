from __future__ import annotations

from importlib.metadata import EntryPoints

import pytest
import torch

import flambe_torch.nn.rnn
from flambe_nlp.sru import SRU, SRUEncoder
from flambe_torch.nn import RNNEncoder

B, T, WIDTH = 4, 6, 5
MASK = torch.arange(T) < torch.tensor([6, 1, 3, 4])[:, None]


@pytest.mark.parametrize("pooling", [None, "first", "last", "mean", "max", "sum"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoding_does_not_depend_on_padding(bidirectional: bool, pooling: str | None) -> None:
    torch.manual_seed(0)
    encoder = RNNEncoder(WIDTH, 7, 2, rnn_type="sru", bidirectional=bidirectional, pooling=pooling)
    x = torch.randn(B, T, WIDTH)
    encoded = encoder(x, MASK)
    assert encoded.shape == ((B, encoder.output_size) if pooling else (B, T, encoder.output_size))
    for row, length in enumerate(MASK.sum(1)):
        alone = encoder(x[row : row + 1, :length])
        torch.testing.assert_close(
            encoded[row : row + 1] if pooling else encoded[row : row + 1, :length], alone
        )
    noisy = torch.where(MASK[:, :, None], x, 1e3)
    torch.testing.assert_close(encoder(noisy, MASK), encoded)


def test_the_mask_is_true_where_a_token_is() -> None:
    encoder = RNNEncoder(WIDTH, 7, rnn_type="sru")
    layers = SRU(WIDTH, 7, 1)
    layers.load_state_dict(encoder.rnn.state_dict())
    x = torch.randn(B, T, WIDTH)
    h, _ = layers(x.transpose(0, 1), mask_pad=~MASK.T)
    torch.testing.assert_close(encoder(x, MASK), h.transpose(0, 1))


def test_parameters_have_the_packages_names() -> None:
    encoder = RNNEncoder(WIDTH, 7, 2, rnn_type="sru", rnn_options={"layer_norm": True, "highway_bias": -2})
    names = ("weight", "weight_c", "bias", "scale_x", "layer_norm.weight", "layer_norm.bias")
    assert list(encoder.state_dict()) == [f"rnn.rnn_lst.{layer}.{name}" for layer in (0, 1) for name in names]


def test_skip_terms_are_rescaled() -> None:
    assert RNNEncoder(WIDTH, 7, rnn_type="sru").rnn.rnn_lst[0].scale_x.item() == pytest.approx(3**0.5)


def test_the_batch_must_come_first() -> None:
    with pytest.raises(ValueError, match=r"^an SRUEncoder takes the batch first; an SRU takes it second$"):
        SRUEncoder(WIDTH, 7, batch_first=False)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambe_torch.nn.rnn, "entry_points", lambda **_: EntryPoints())
    with pytest.raises(ValueError, match=r"^the RNN 'sru' comes with flambe-nlp: pip install flambe-nlp$"):
        RNNEncoder(WIDTH, 7, rnn_type="sru")


def test_a_text_read_in_parts_is_encoded_as_the_whole() -> None:
    torch.manual_seed(0)
    encoder = RNNEncoder(WIDTH, 7, 2, rnn_type="sru")
    x = torch.randn(B, T, WIDTH)
    first, state = encoder.unroll(x[:, :2])
    second, state = encoder.unroll(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), encoder(x))
    assert [tuple(tensor.shape) for tensor in state] == [(2, B, 7)]
