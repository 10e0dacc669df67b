"""Modules for text and other sequences, and the convention by which they fit together.

B is the batch, T the longest sequence of the batch, E the embedding's size, H the encoder's output size
and C the number of classes:

- ``embedding(tokens)``: (B, T) int64 → (B, T, E);
- ``encoder(x, mask)``: (B, T, E) and (B, T) bool, True where a token is → (B, H) with a pooling,
  (B, T, H) without one;
- ``decoder(h)``: (B, H) → (B, C) log-probabilities.

The model that holds them computes ``mask = tokens != pad_index`` and hands it on; None means that nothing is
padded. Sequences are padded at their end. What a module returns for a row does not depend on its padding,
and padded places of a (B, T, H) output are 0.
"""

from flambe_torch.nn.activations import activation_of
from flambe_torch.nn.attention import GeneralizedPooling, SelfAttentivePooling
from flambe_torch.nn.chars import CharsEncoder
from flambe_torch.nn.cnn import CNNEncoder
from flambe_torch.nn.compound import Embedder, LogisticRegression, Sequential
from flambe_torch.nn.distances import CosineDistance, EuclideanDistance, HyperbolicDistance, distance_of
from flambe_torch.nn.embedding import EmbeddingEncoder, mask_of, pad_index_of
from flambe_torch.nn.mixture import MixtureOfSoftmaxes
from flambe_torch.nn.mlp import MLPEncoder, SoftmaxDecoder
from flambe_torch.nn.module import Model, Module
from flambe_torch.nn.pooling import (
    FirstPooling,
    LastPooling,
    MaxPooling,
    MeanPooling,
    Pooling,
    SumPooling,
    pooled_size,
    pooling_of,
)
from flambe_torch.nn.positions import LearnedPositions, SinusoidalPositions
from flambe_torch.nn.rnn import RNNEncoder
from flambe_torch.nn.transformer import Transformer, TransformerDecoder, TransformerEncoder

__all__ = [
    "CNNEncoder",
    "CharsEncoder",
    "CosineDistance",
    "Embedder",
    "EmbeddingEncoder",
    "EuclideanDistance",
    "FirstPooling",
    "GeneralizedPooling",
    "HyperbolicDistance",
    "LastPooling",
    "LearnedPositions",
    "LogisticRegression",
    "MLPEncoder",
    "MaxPooling",
    "MeanPooling",
    "MixtureOfSoftmaxes",
    "Model",
    "Module",
    "Pooling",
    "RNNEncoder",
    "SelfAttentivePooling",
    "Sequential",
    "SinusoidalPositions",
    "SoftmaxDecoder",
    "SumPooling",
    "Transformer",
    "TransformerDecoder",
    "TransformerEncoder",
    "activation_of",
    "distance_of",
    "mask_of",
    "pad_index_of",
    "pooled_size",
    "pooling_of",
]
