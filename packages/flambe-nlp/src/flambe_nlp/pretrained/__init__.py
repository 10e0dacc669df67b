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

__all__ = [
    "BERTEmbeddings",
    "BERTEncoder",
    "BERTOptimizer",
    "BERTTextField",
    "PretrainedTransformerEmbedder",
    "PretrainedTransformerEmbeddings",
    "PretrainedTransformerEncoder",
    "PretrainedTransformerField",
    "TransformerAdamW",
]
