"""Text classification: `!cl.…` in a config."""

from flambe_nlp.classification.model import TextClassifier
from flambe_nlp.classification.predictor import Prediction, TextPredictor
from flambe_nlp.classification.processor import TCProcessor
from flambe_nlp.classification.prototypical import PrototypicalTextClassifier
from flambe_nlp.classification.tabular import TabularProcessor
from flambe_nlp.datasets import NewsGroupsDataset, QuestionsDataset, SSTDataset, TabularDataset, TrecDataset

TRECDataset = TrecDataset
TRECDataSet = TrecDataset

__all__ = [
    "NewsGroupsDataset",
    "Prediction",
    "PrototypicalTextClassifier",
    "QuestionsDataset",
    "SSTDataset",
    "TCProcessor",
    "TRECDataSet",
    "TRECDataset",
    "TabularDataset",
    "TabularProcessor",
    "TextClassifier",
    "TextPredictor",
    "TrecDataset",
]
