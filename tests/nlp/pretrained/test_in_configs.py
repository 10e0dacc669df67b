"""Pretrained parts under their general names, run by configs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import flambe
from flambe import Experiment
from flambe.language.read import read_text
from flambe_nlp.language_modeling import PretrainedTransformerEmbedder

CONFIG = """
pipeline:
  data: !cl.TCProcessor
    dataset: !cl.TabularDataset {train: TABLE, dev: TABLE, header: true}
    text_field: !lm.PretrainedTransformerField.from_alias {alias: ALIAS}
  train: !Trainer
    train_sampler: !BaseSampler {data: !@ data.train, batch_size: 2}
    dev_sampler: !BaseSampler {data: !@ data.dev}
    model: !cl.TextClassifier
      embedding: EMBEDDING
      encoder: ENCODER
      decoder: !SoftmaxDecoder {input_size: !@ train.model.PART.hidden_size, output_size: !@ data.num_labels}
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !lm.TransformerAdamW {params: !call train.model.named_parameters, lr: 0.01, warmup: 0.1}
    max_steps: 1
    iter_per_step: 3
  predictor: !cl.TextPredictor {model: !@ train.model, processor: !@ data}
"""
TABLE = "text,label\nwho was ada,HUM\nwho is ada,HUM\nwhat was the love,ENTY\nwhat is the love,ENTY\n"
PARTS = {
    "whole": ("!lm.PretrainedTransformerEmbedder {alias: ALIAS, n_frozen_layers: 1}", "null", "embedding"),
    "frozen": ("!lm.PretrainedTransformerEmbedder {alias: ALIAS, freeze: true}", "null", "embedding"),
    "in parts": (
        "!lm.PretrainedTransformerEmbeddings {alias: ALIAS, freeze: true}",
        "!lm.PretrainedTransformerEncoder {alias: ALIAS, dropout: 0.0}",
        "encoder",
    ),
}
LEARNING = {"whole": {"embeddings", "1", "2"}, "frozen": set(), "in parts": {"0", "1", "2"}}


def layers(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of the pretrained embeddings and layers: by the number of a layer and what is behind it."""
    weights = {name.partition("embeddings.")[2]: each for name, each in model.named_parameters()}
    weights |= {name.partition(".layer.")[2]: each for name, each in model.named_parameters()}
    return {name: each for name, each in weights.items() if name}


@pytest.mark.parametrize("kind", PARTS)
def test_pretrained_parts_are_trained_and_loaded(kind: str, bert: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    text = CONFIG
    for name, part in zip(("EMBEDDING", "ENCODER", "PART"), PARTS[kind], strict=True):
        text = text.replace(name, part)
    text = text.replace("ALIAS", bert).replace("TABLE", f"{tmp_path}/table.csv")
    document = read_text(f"name: parts\nsave_path: {tmp_path}/out\n{text}")
    outcome = Experiment.from_document(document).run(backend="in-process")
    assert outcome.exit_code == 0, [record.error for record in outcome.failed]
    before = layers(PretrainedTransformerEmbedder(bert))
    after = layers(flambe.load(f"{outcome.folder}/train/default/model"))
    moved = {
        name[0] if name[0].isdigit() else "embeddings"
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert moved == LEARNING[kind]
    predictor = flambe.load(f"{outcome.folder}/predictor/default")
    (texts, labels) = zip(*(line.split(",") for line in TABLE.splitlines()[1:]), strict=True)
    right = [predictor(text).label == label for text, label in zip(texts, labels, strict=True)]
    (metric,) = [record.metric for key, record in outcome.records.items() if key.stage == "train"]
    assert metric == sum(right) / len(right)
