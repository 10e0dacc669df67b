"""Distances between vectors, and the means that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from flambe_torch.nn.module import Module

_CLOSEST = 1e-12
"""Points are kept apart by this (cosh d - 1), where the derivative of their distance has no end."""


class Distance(Module):
    """How far vectors (N, D) are from vectors (M, D): (N, M); and the mean of vectors in its geometry."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distances (N, M); to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def mean(self, x: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
        """The mean of each group (count, D) of vectors x (N, D); `groups` (N,) int64 says which is whose."""
        sizes = torch.bincount(groups, minlength=count).clamp(min=1)  # (count,)
        return summed(x, groups, count) / sizes[:, None]


class EuclideanDistance(Distance):
    """The squared Euclidean distance |x - y|²; the mean is the arithmetic one.

    Example:
        >>> EuclideanDistance()(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[25.,  1.]])
    """

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distances (N, M)."""
        return (x[:, None] - y[None]).square().sum(dim=2)


class CosineDistance(Distance):
    """1 - cos(x, y), from 0 to 2; the mean is that of the directions.

    Args:
        eps: The smallest length that a vector is divided by.
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distances (N, M)."""
        return 1 - self._direction(x) @ self._direction(y).T

    def mean(self, x: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
        """The mean direction (count, D) of each group of vectors x (N, D)."""
        return super().mean(self._direction(x), groups, count)

    def _direction(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x, dim=1, eps=self.eps)


class HyperbolicDistance(Distance):
    """The squared distance in hyperbolic space, in which any vector of numbers is a point.

    A vector x stands for the point (√(1 + |x|²), x) of the hyperboloid, which is x / (1 + √(1 + |x|²)) in the
    Poincaré ball: there the distance of p and q is arccosh(1 + 2 |p - q|² / ((1 - |p|²) (1 - |q|²))). The
    mean is the Einstein midpoint: that of the points in Minkowski space, scaled back to the hyperboloid.

    Source: Nickel and Kiela, "Poincaré Embeddings for Learning Hierarchical Representations", NeurIPS 2017,
    equation 1; the midpoint: Gulcehre et al., "Hyperbolic Attention Networks", ICLR 2019, section 3.2; Law et
    al., "Lorentzian Distance Learning for Hyperbolic Representations", ICML 2019, equation 11.

    Example:
        >>> HyperbolicDistance()(torch.tensor([[0.0]]), torch.tensor([[1.0]]).sinh()).round(decimals=4)
        tensor([[1.]])
    """

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The distances (N, M)."""
        along = _height(x)[:, None] - _height(y)[None]  # (N, M)
        apart = ((x[:, None] - y[None]).square().sum(dim=2) - along.square()) / 2  # cosh d - 1
        apart = apart.clamp(min=_CLOSEST)
        return torch.log1p(apart + (apart * (apart + 2)).sqrt()).square()

    def mean(self, x: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
        """The midpoint (count, D) of each group of points x (N, D)."""
        points = summed(x, groups, count)  # (count, D)
        heights = summed(_height(x)[:, None], groups, count)  # (count, 1)
        scale = heights.square() - points.square().sum(dim=1, keepdim=True)  # at least the squared size
        return points / scale.clamp(min=1).sqrt()


DISTANCES: Mapping[str, type[Distance]] = MappingProxyType(
    {"euclidean": EuclideanDistance, "cosine": CosineDistance, "hyperbolic": HyperbolicDistance}
)


def distance_of(distance: str | Distance) -> Distance:
    """The distance of that name; a module as it is.

    Raises:
        ValueError: no distance has that name.
    """
    if not isinstance(distance, str):
        return distance
    if distance not in DISTANCES:
        raise ValueError(f"no distance is called {distance!r}; there are {', '.join(DISTANCES)}")
    made: Distance = DISTANCES[distance]()
    return made


def summed(x: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """The sum of each group (count, D) of vectors x (N, D)."""
    return x.new_zeros(count, x.shape[1]).index_add(0, groups, x)


def _height(x: torch.Tensor) -> torch.Tensor:
    return (1 + x.square().sum(dim=1)).sqrt()
