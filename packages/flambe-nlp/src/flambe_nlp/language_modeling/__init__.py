"""Language modelling: `!lm.…` in a config."""

from flambe_nlp.language_modeling.model import LanguageModel
from flambe_nlp.language_modeling.processor import LMProcessor
from flambe_nlp.language_modeling.sampler import CorpusSampler
from flambe_nlp.pretrained import (
    BERTEmbeddings,
    BERTEncoder,
    BERTOptimizer,
    BERTTextField,
    PretrainedTransformerEmbedder,
    PretrainedTransformerEmbeddings,
    PretrainedTransformerEncoder,
    PretrainedTransformerField,
    TransformerAdamW,
)

__all__ = [
    "BERTEmbeddings",
    "BERTEncoder",
    "BERTOptimizer",
    "BERTTextField",
    "CorpusSampler",
    "LMProcessor",
    "LanguageModel",
    "PretrainedTransformerEmbedder",
    "PretrainedTransformerEmbeddings",
    "PretrainedTransformerEncoder",
    "PretrainedTransformerField",
    "TransformerAdamW",
]
