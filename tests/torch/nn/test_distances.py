from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from flambe_torch.nn import EuclideanDistance, HyperbolicDistance, distance_of

N, M, D = 4, 3, 5


def drawn(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, D))


def in_the_ball(x: np.ndarray) -> np.ndarray:
    return x / (1 + math.sqrt(1 + x @ x))


def poincare(x: np.ndarray, y: np.ndarray) -> float:
    p, q = in_the_ball(x), in_the_ball(y)
    return math.acosh(1 + 2 * ((p - q) @ (p - q)) / ((1 - p @ p) * (1 - q @ q))) ** 2


REFERENCES = {
    "euclidean": lambda x, y: sum((a - b) ** 2 for a, b in zip(x, y, strict=True)),
    "cosine": lambda x, y: 1 - x @ y / math.sqrt((x @ x) * (y @ y)),
    "hyperbolic": poincare,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_distances_agree_with_their_formula(name: str) -> None:
    x, y = drawn(N, 0), drawn(M, 1)
    expected = [[REFERENCES[name](a, b) for b in y] for a in x]
    given = distance_of(name)(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_point_is_at_no_distance_from_itself_and_trains(name: str) -> None:
    x = torch.from_numpy(drawn(N, 0)).float().requires_grad_()
    distances = distance_of(name)(x, x)
    assert distances.diagonal().detach().abs().max() < 1e-5
    distances.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_means_are_those_of_each_group() -> None:
    x, groups = drawn(6, 2), [1, 0, 1, 1, 0, 3]

    def means(name: str) -> np.ndarray:
        result: np.ndarray = distance_of(name).mean(torch.from_numpy(x), torch.tensor(groups), 4).numpy()
        return result

    for group in (0, 1, 3):
        held = x[[place for place, other in enumerate(groups) if other == group]]
        np.testing.assert_allclose(means("euclidean")[group], held.mean(0))
        directions = held / np.linalg.norm(held, axis=1, keepdims=True)
        np.testing.assert_allclose(means("cosine")[group], directions.mean(0))
        klein = [row / math.sqrt(1 + row @ row) for row in held]  # the Einstein midpoint, step by step
        gammas = [1 / math.sqrt(1 - k @ k) for k in klein]
        middle = sum(g * k for g, k in zip(gammas, klein, strict=True)) / sum(gammas)
        expected = middle / math.sqrt(1 - middle @ middle)
        np.testing.assert_allclose(means("hyperbolic")[group], expected)
    assert [means(name)[2].tolist() for name in REFERENCES] == [[0.0] * D] * 3, "a group without points"


def test_the_hyperbolic_mean_of_two_points_lies_in_their_middle() -> None:
    distance, x = HyperbolicDistance(), torch.from_numpy(drawn(2, 3))
    middle = distance.mean(x, torch.tensor([0, 0]), 1)
    whole, halves = distance(x[:1], x[1:]).sqrt(), distance(x, middle).sqrt()
    np.testing.assert_allclose(halves, whole.item() / 2 * np.ones((2, 1)), rtol=1e-6)
    alone = distance.mean(x[:1], torch.tensor([0]), 1)
    np.testing.assert_allclose(alone, x[:1])


def test_unknown_distances_are_named() -> None:
    own = EuclideanDistance()
    assert distance_of(own) is own
    with pytest.raises(
        ValueError, match=r"^no distance is called 'l1'; there are euclidean, cosine, hyperbolic$"
    ):
        distance_of("l1")
