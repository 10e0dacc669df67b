"""Data sets: three parts of rows of raw strings, read when first asked for."""

from flambe_nlp.datasets.corpora import Enwik8Dataset, PTBDataset, WikiText2Dataset, WikiText103Dataset
from flambe_nlp.datasets.dataset import Parts, Row, TextDataset, split_off
from flambe_nlp.datasets.lines import Lines
from flambe_nlp.datasets.newsgroups import NewsGroupsDataset
from flambe_nlp.datasets.questions import QuestionsDataset
from flambe_nlp.datasets.sst import SSTDataset
from flambe_nlp.datasets.tabular import TabularDataset
from flambe_nlp.datasets.trec import TrecDataset

__all__ = [
    "Enwik8Dataset",
    "Lines",
    "NewsGroupsDataset",
    "PTBDataset",
    "Parts",
    "QuestionsDataset",
    "Row",
    "SSTDataset",
    "TabularDataset",
    "TextDataset",
    "TrecDataset",
    "WikiText2Dataset",
    "WikiText103Dataset",
    "split_off",
]
