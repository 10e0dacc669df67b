from __future__ import annotations

import math

import pytest
import torch

from flambe_torch.nn import EmbeddingEncoder, SinusoidalPositions


@pytest.mark.parametrize("size", [5, 8])
def test_sinusoids_go_along_the_time_and_not_the_batch(size: int) -> None:
    positions = SinusoidalPositions(size)
    for length in (3, 7, 2):  # the table grows when it must
        placed = positions(torch.zeros(2, length, size))
        for row in range(2):
            for place in range(length):
                for entry in range(size):
                    angle = place / 10000 ** (2 * (entry // 2) / size)
                    expected = math.cos(angle) if entry % 2 else math.sin(angle)
                    assert placed[row, place, entry].item() == pytest.approx(expected, abs=1e-5)
    assert positions.state_dict() == {}
    # processes that train together send each other their buffers, but have seen sequences of other lengths
    assert not list(positions.buffers())


def test_embeddings_with_positions_keep_padding_at_zero() -> None:
    tokens = torch.tensor([[1, 1, 2, 0], [1, 0, 0, 0]])
    for kind in ("sinusoidal", "learned"):
        torch.manual_seed(0)
        plain = EmbeddingEncoder(7, 5)
        torch.manual_seed(0)
        placed = EmbeddingEncoder(7, 5, positions=kind, max_length=4)
        table = placed.positions(torch.zeros(1, 4, 5))[0]
        output = placed(tokens)
        torch.testing.assert_close(output[0, :3], plain(tokens)[0, :3] + table[:3])
        assert (output[0, 0] != output[0, 1]).any(), "one token at two places"
        torch.testing.assert_close(output[1, 0], output[0, 0])
        assert output[0, 3:].count_nonzero() == output[1, 1:].count_nonzero() == 0
