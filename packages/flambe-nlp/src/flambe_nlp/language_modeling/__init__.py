"""Language modelling: `!lm.…` in a config."""

from flambe_nlp.datasets import (
    Enwik8Dataset,
    PTBDataset,
    QuestionsDataset,
    TabularDataset,
    WikiText2Dataset,
    WikiText103Dataset,
)
from flambe_nlp.fields import LMField
from flambe_nlp.language_modeling.model import LanguageModel
from flambe_nlp.language_modeling.processor import LMProcessor
from flambe_nlp.language_modeling.sampler import CorpusSampler
from flambe_nlp.pretrained import (
    BERTEmbeddings,
    BERTEncoder,
    BERTOptimizer,
    BERTTextField,
    EncoderVectors,
    PretrainedTransformerEmbedder,
    PretrainedTransformerEmbeddings,
    PretrainedTransformerEncoder,
    PretrainedTransformerField,
    TransformerAdamW,
)

Wiki103Dataset = WikiText103Dataset

__all__ = [
    "BERTEmbeddings",
    "BERTEncoder",
    "BERTOptimizer",
    "BERTTextField",
    "CorpusSampler",
    "EncoderVectors",
    "Enwik8Dataset",
    "LMField",
    "LMProcessor",
    "LanguageModel",
    "PTBDataset",
    "PretrainedTransformerEmbedder",
    "PretrainedTransformerEmbeddings",
    "PretrainedTransformerEncoder",
    "PretrainedTransformerField",
    "QuestionsDataset",
    "TabularDataset",
    "TransformerAdamW",
    "Wiki103Dataset",
    "WikiText2Dataset",
    "WikiText103Dataset",
]
