"""Data sets: three parts of rows of raw strings, read when first asked for."""

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset, split_off
from flambe_nlp.datasets.questions import QuestionsDataset
from flambe_nlp.datasets.sst import SSTDataset
from flambe_nlp.datasets.tabular import TabularDataset
from flambe_nlp.datasets.trec import TrecDataset

__all__ = [
    "Parts",
    "QuestionsDataset",
    "Row",
    "SSTDataset",
    "TabularDataset",
    "TextDataset",
    "TrecDataset",
    "split_off",
]
