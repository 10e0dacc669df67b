from __future__ import annotations

from pathlib import Path

import pytest
import torch

import flambe
from flambe_nlp.classification import QuestionsDataset, TCProcessor, TextClassifier, TextPredictor
from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder


def predictor(**arguments: int) -> TextPredictor:
    torch.manual_seed(0)
    processor = TCProcessor(QuestionsDataset())
    model = TextClassifier(
        EmbeddingEncoder(processor.vocab_size, 4),
        RNNEncoder(input_size=4, hidden_size=6, pooling="last"),
        SoftmaxDecoder(6, processor.n_labels),
        dropout=0.5,
    )
    return TextPredictor(model, processor, **arguments)


QUESTIONS = ["Who was she?", "Where did the captain of the ship live?", "Why?"]


def test_raw_texts_become_the_most_probable_label() -> None:
    made = predictor()
    predictions = made(QUESTIONS)
    scores = made.model.eval()(made.processor.process(QUESTIONS))
    assert [p.label for p in predictions] == made.processor.names(scores.argmax(dim=1))
    assert [p.probability for p in predictions] == pytest.approx(scores.exp().amax(dim=1).tolist())


def test_one_text_gives_one_prediction() -> None:
    made = predictor()
    assert made(QUESTIONS[0]).label == made(QUESTIONS)[0].label


def test_batches_do_not_change_the_predictions() -> None:
    together, apart = predictor()(QUESTIONS), predictor(batch_size=1)(QUESTIONS)
    assert [p.label for p in together] == [p.label for p in apart]
    assert [p.probability for p in together] == pytest.approx([p.probability for p in apart])
    assert predictor()([]) == []


def test_predicting_leaves_the_model_as_it_was() -> None:
    made = predictor()
    made.model.train()
    made.model.embedding.eval()
    made(QUESTIONS)
    with pytest.raises(TypeError):
        made([7])
    made.model.dropout.register_forward_pre_hook(_refuse)
    with pytest.raises(ArithmeticError):
        made(QUESTIONS)
    assert not made.model.embedding.training
    assert all(part.training for part in (made.model, made.model.encoder, made.model.decoder))


def _refuse(module: torch.nn.Module, inputs: object) -> None:
    assert not module.training
    raise ArithmeticError


def test_a_loaded_predictor_predicts_the_same(tmp_path: Path) -> None:
    made = predictor()
    flambe.save(made, str(tmp_path / "predictor"))
    assert flambe.load(str(tmp_path / "predictor"))(QUESTIONS) == made(QUESTIONS)
