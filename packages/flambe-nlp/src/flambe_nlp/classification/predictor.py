"""`TextPredictor`: a trained model and its processor as one thing that takes raw text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import torch
from torch import nn

from flambe.component import Component
from flambe_nlp.classification.processor import TCProcessor
from flambe_nlp.classification.prototypical import PrototypicalTextClassifier
from flambe_torch.predicting import evaluating


class Prediction(NamedTuple):
    """The most probable label of a text, and its probability in [0, 1]."""

    label: str
    probability: float


class TextPredictor(Component):
    """Raw texts to labels. As the last stage of a pipeline it is what the experiment leaves for others.

    Saved, it holds the weights, the vocabulary and the labels; `flambe.load` brings it back where there
    is no data set.

    Args:
        model: Token numbers (B, T) to log-probabilities (B, C), such as a trained `TextClassifier`.
        processor: The processor whose numbers the model was trained on.
        batch_size: How many texts go through the model at once.

    Example:
        >>> from flambe_nlp.classification import QuestionsDataset, TextClassifier
        >>> from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder
        >>> processor = TCProcessor(QuestionsDataset())
        >>> embedding = EmbeddingEncoder(processor.vocab_size, 8)
        >>> encoder = RNNEncoder(input_size=8, hidden_size=8, pooling="last")
        >>> model = TextClassifier(embedding, encoder, SoftmaxDecoder(8, processor.n_labels))
        >>> prediction = TextPredictor(model, processor)("Who was she?")
        >>> prediction.label in processor.labels
        True
    """

    def __init__(self, model: nn.Module, processor: TCProcessor, *, batch_size: int = 256) -> None:
        if isinstance(model, PrototypicalTextClassifier):
            raise ValueError(
                "a PrototypicalTextClassifier needs examples of each class beside a text; "
                "measure it with a QuerySampler, or predict with a TextClassifier on its embedder"
            )
        self.model = model
        self.processor = processor
        self.batch_size = batch_size

    @overload
    def __call__(self, texts: str) -> Prediction: ...
    @overload
    def __call__(self, texts: list[str] | tuple[str, ...]) -> list[Prediction]: ...
    def __call__(self, texts: str | list[str] | tuple[str, ...]) -> Prediction | list[Prediction]:
        """The prediction for a text, or those for several."""
        if isinstance(texts, str):
            return next(self._predicted([texts]))
        starts = range(0, len(texts), self.batch_size)
        return [made for start in starts for made in self._predicted(texts[start : start + self.batch_size])]

    @torch.no_grad()
    def _predicted(self, texts: Sequence[str]) -> Iterator[Prediction]:
        device = next(self.model.parameters()).device
        tokens = self.processor.process(texts).to(device)  # (B, T)
        with evaluating(self.model):
            scores = self.model(tokens)  # (B, C)
        best = scores.max(dim=1)
        labels = self.processor.names(best.indices)
        return map(Prediction, labels, best.values.exp().tolist())
