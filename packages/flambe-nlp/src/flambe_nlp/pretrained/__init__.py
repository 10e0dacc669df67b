"""Pretrained transformers: their fields, their parts as modules, the optimizer that trains them."""

from flambe_nlp.pretrained.field import BERTTextField, PretrainedTransformerField
from flambe_nlp.pretrained.modules import (
    BERTEmbeddings,
    BERTEncoder,
    PretrainedTransformerEmbedder,
    PretrainedTransformerEmbeddings,
    PretrainedTransformerEncoder,
)
from flambe_nlp.pretrained.optimizer import BERTOptimizer, TransformerAdamW
from flambe_nlp.pretrained.vectors import EncoderVectors

__all__ = [
    "BERTEmbeddings",
    "BERTEncoder",
    "BERTOptimizer",
    "BERTTextField",
    "EncoderVectors",
    "PretrainedTransformerEmbedder",
    "PretrainedTransformerEmbeddings",
    "PretrainedTransformerEncoder",
    "PretrainedTransformerField",
    "TransformerAdamW",
]
