from __future__ import annotations

import pytest
import torch

from flambe_torch.nn import CharsEncoder, CNNEncoder, Embedder, EmbeddingEncoder, RNNEncoder

B, T, C, E, H = 2, 3, 5, 4, 6
LENGTHS = [[5, 1, 2], [3, 0, 0]]  # of each text's words; 0 is none


def characters() -> torch.Tensor:
    chars = torch.randint(1, 11, (B, T, C), generator=torch.Generator().manual_seed(0))
    return chars.masked_fill(torch.arange(C) >= torch.tensor(LENGTHS)[:, :, None], 0)


@pytest.mark.parametrize(
    "encoder",
    [CNNEncoder(E, [H], pooling="max", batch_norm=False), RNNEncoder(E, H, pooling="last")],
    ids=["convolution", "recurrent"],
)
def test_each_word_is_what_it_is_alone(encoder: torch.nn.Module) -> None:
    model = CharsEncoder(EmbeddingEncoder(11, E), encoder).eval()
    chars = characters()
    vectors = model(chars)
    assert vectors.shape == (B, T, H)
    assert model.output_size == H
    for text, lengths in enumerate(LENGTHS):
        for word, length in enumerate(lengths):
            expected = torch.zeros(H)
            if length:
                expected = encoder(model.embedding(chars[None, text, word, :length]), None)[0]
            torch.testing.assert_close(vectors[text, word], expected)


def test_padded_words_change_nothing_behind_it() -> None:
    chars = characters()
    embedding = CharsEncoder(EmbeddingEncoder(11, E), CNNEncoder(E, [H], pooling="max"))
    model = Embedder(embedding, RNNEncoder(H, 7, bidirectional=True), pooling="mean").eval()
    torch.testing.assert_close(model(chars)[1], model(chars[1:, :1, :3])[0])


def test_what_does_not_fit_is_told() -> None:
    model = CharsEncoder(EmbeddingEncoder(11, E), RNNEncoder(E, H))
    with pytest.raises(ValueError, match=r"one vector a word, \(N, H\), but it gave \(4, 5, 6\): give it a"):
        model(characters())
    with pytest.raises(ValueError, match=r"the characters of words are \(B, T, C\), but these are \(2, 3\)$"):
        model(characters()[:, :, 0])
