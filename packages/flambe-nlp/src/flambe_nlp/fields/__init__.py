"""Fields: what turns a column of texts into a column of numbers."""

from flambe_nlp.fields.bag import BagColumn, BoWField
from flambe_nlp.fields.chars import WordCharsField
from flambe_nlp.fields.field import Field
from flambe_nlp.fields.label import LabelField
from flambe_nlp.fields.lm import LMField
from flambe_nlp.fields.text import TextField

__all__ = ["BagColumn", "BoWField", "Field", "LMField", "LabelField", "TextField", "WordCharsField"]
