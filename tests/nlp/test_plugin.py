from __future__ import annotations

import subprocess
import sys

import pytest

import flambe_nlp.classification as cl
import flambe_nlp.language_modeling as lm
from flambe.registry.registry import Registry
from flambe_nlp import fields, pretrained, tokenizers, vectors

TAGS = {
    **{f"cl.{name}": getattr(cl, name) for name in (*cl.__all__, "TRECDataset", "TRECDataSet")},
    **{f"lm.{name}": getattr(lm, name) for name in lm.__all__},
    **{name: getattr(fields, name) for name in fields.__all__ if name != "BagColumn"},
    **{name: getattr(tokenizers, name) for name in ("WordTokenizer", "CharTokenizer", "NGramTokenizer")},
    "NLTKWordTokenizer": tokenizers.NLTKWordTokenizer,
    "WordVectors": vectors.WordVectors,
    **{f"lm.{name}": getattr(pretrained, name) for name in pretrained.__all__},
}


@pytest.mark.parametrize("tag", TAGS)
def test_tags_are_found(tag: str) -> None:
    assert Registry.load().resolve(tag).value is TAGS[tag]


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'fsspec', 'flambe_torch'} & set(sys.modules)"
    code = f"import sys, flambe_nlp.plugin; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
