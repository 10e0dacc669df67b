"""`PrototypicalTextClassifier`: tells texts of classes of which it has seen few."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn import Model
from flambe_torch.nn.distances import Distance, distance_of


class PrototypicalTextClassifier(Model):
    """Texts and examples of each class to log-probabilities of the classes.

    A class's prototype is the mean of its examples' vectors; a text is of a class the likelier, the closer it
    is: log softmax(-distance). Train it on episodes (`!EpisodicSampler`) and measure it on all rows with some
    examples of each class (`!QuerySampler`).

    Args:
        embedder: Tokens (B, T) to one vector a text (B, H), such as `!Embedder` with a pooling.
        distance: `euclidean` (squared), `cosine`, `hyperbolic`, or a module of `flambe_torch.nn.distances`.
        detach_mean: Do not train through the prototypes.

    Source: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, section 2.

    Example:
        >>> from flambe_torch.nn import Embedder, EmbeddingEncoder
        >>> model = PrototypicalTextClassifier(Embedder(EmbeddingEncoder(11, 5), pooling="mean"))
        >>> query, support = torch.tensor([[4, 2], [8, 0], [9, 9]]), torch.tensor([[1], [2], [3]])
        >>> model(query, support, torch.tensor([0, 1, 1])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, embedder: nn.Module, distance: str | Distance = "euclidean", *, detach_mean: bool = False
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.distance = distance_of(distance)
        self.detach_mean = detach_mean

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (Q, C) of the classes 0 … C - 1.

        The inputs are the query (Q, T), its examples (S, U), and their classes (S,), of which the largest is
        C - 1. A class without examples has the probability 0.
        """
        query, support, classes = inputs
        count = int(classes.max()) + 1
        prototypes = self.prototypes(support, classes, count)  # (C, H)
        scores: torch.Tensor = -self.distance(self._embedded(query), prototypes)  # (Q, C)
        seen = torch.bincount(classes, minlength=count) > 0  # (C,)
        return scores.masked_fill(~seen, float("-inf")).log_softmax(dim=1)

    def prototypes(self, support: torch.Tensor, classes: torch.Tensor, count: int) -> torch.Tensor:
        """The mean (count, H) of each class of the examples (S, U), whose classes are (S,)."""
        means = self.distance.mean(self._embedded(support), classes, count)
        return means.detach() if self.detach_mean else means

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.embedder(tokens)
        if embedded.ndim != 2:
            raise ValueError(
                f"the embedder must give one vector a text, (B, H), but it gave {tuple(embedded.shape)}; "
                "does it lack a pooling?"
            )
        return embedded
