"""A pretrained encoder fine-tuned by a config, from its folder to a loaded model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import flambe
from flambe.check import check
from flambe.experiment.experiment import Experiment
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_text
from flambe.registry.registry import Registry

JOB = """
name: job
pipeline:
  data: !cl.QuestionsDataset
  processor: !cl.TCProcessor
    dataset: !@ data
    text_field: !lm.BERTTextField.from_alias {alias: FOLDER}
  train: !Trainer
    train_sampler: !BaseSampler {data: !@ processor.train, batch_size: 16}
    dev_sampler: !BaseSampler {data: !@ processor.dev, batch_size: 128}
    model: !cl.TextClassifier
      embedding: !lm.BERTEmbeddings.from_alias {alias: FOLDER}
      encoder: !lm.BERTEncoder.from_alias {alias: FOLDER}
      decoder: !SoftmaxDecoder
        input_size: !@ train.model.encoder.config.hidden_size
        output_size: !@ processor.num_labels
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !lm.BERTOptimizer
      params: !call train.model.named_parameters
      lr: 0.01
      warmup: 0.25
    max_steps: 3
    iter_per_step: 4
  words: !cl.TCProcessor
    dataset: !@ data
    embeddings: !lm.EncoderVectors {alias: FOLDER, size: 5, extend: !@ data}
  evaluate: !Evaluator
    model: !@ train.model
    metric_fn: !Accuracy
    eval_sampler: !BaseSampler {data: !@ processor.test, batch_size: 128}
"""


@pytest.fixture(scope="module")
def output(folder_of: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the job leaves behind when the pretrained model is gone."""
    folder = tmp_path_factory.mktemp("job")
    shutil.copytree(folder_of("bert", pad_token_id=0), folder / "model")  # type: ignore[operator]
    text = JOB.replace("FOLDER", str(folder / "model"))
    document = apply_overrides(read_text(text), [f"save_path={json.dumps(str(folder))}"])
    assert [str(problem) for problem in check(document, Registry.load())] == []
    assert Experiment.from_document(document).run().exit_code == 0
    shutil.rmtree(folder / "model")
    return folder / "output__job"


def test_the_rate_rises_and_falls_over_all_iterations(output: Path) -> None:
    state = torch.load(output / "train" / "default" / "optimizer" / "state.pt", weights_only=True)
    for group in state["param_groups"]:
        assert (group["iterations"], group["total_iterations"], group["lr"]) == (12, 12, 0)


def test_what_was_trained_is_measured(output: Path) -> None:
    trial = json.loads((output / "evaluate" / "default" / "trial.json").read_text())
    assert 0.05 < trial["metric"] < 0.9


def test_the_trained_model_is_loaded_without_the_pretrained_one(output: Path) -> None:
    model = flambe.load(output / "train" / "default" / "model")
    processor = flambe.load(output / "processor" / "default")
    assert model(processor.process(["Who was Ada Lovelace?", "Why?"])).shape == (2, 6)


def test_a_processor_keeps_the_vectors_that_an_encoder_made(output: Path) -> None:
    words = flambe.load(output / "words" / "default")
    assert words.embeddings.shape == (words.vocab_size, 5)
    assert "what" in words.vocab


def test_the_trainer_is_loaded_with_its_optimizer(output: Path) -> None:
    trainer = flambe.load(output / "train" / "default")
    held = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in trainer.model.parameters()}
    assert trainer.optimizer.param_groups[0]["iterations"] == 12
    assert trainer.optimizer.defaults["lr"] == 0.01
