"""Every module, loss, metric, optimizer and scheduler of ours, run by a config."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import flambe
from flambe import Experiment, Outcome
from flambe.language.read import read_text

ROWS = "[[[3, 4, 5, 6], 0], [[5, 3], 1], [[4], 2], [[6, 6, 3], 1], [[3, 5], 0], [[4, 4, 4, 6], 2]]"
SIZES = "d_model: 8, n_heads: 2, n_layers: 1, dim_feedforward: 7"
ENCODERS = {
    "transformer": f"!TransformerEncoder {{input_size: 5, {SIZES}, pooling: mean}}",
    "causal": f"!TransformerEncoder {{input_size: 5, {SIZES}, causal: true, positions: learned}}",
    "sru": f"!TransformerSRUEncoder {{input_size: 5, {SIZES}, bidirectional: true, norm_first: true}}",
    "cnn": "!CNNEncoder {input_channels: 5, channels: [6, 7], kernel_size: [3, 2], pooling: max}",
    "attentive": (
        "!RNNEncoder {input_size: 5, hidden_size: 6, pooling: "
        "!SelfAttentivePooling {input_size: 6, n_heads: 2, attention_units: [4]}}"
    ),
    "generalized": (
        "!RNNEncoder {input_size: 5, hidden_size: 6, pooling: "
        "!GeneralizedPooling {input_size: 6, attention_units: [4]}}"
    ),
    "sequential": (
        "!Sequential {mlp: !MLPEncoder {input_size: 5, output_size: 6, output_activation: gelu}, "
        "rnn: !RNNEncoder {input_size: 6, hidden_size: 7, pooling: last}}"
    ),
}
DECODERS = {
    "mixture": "!MixtureOfSoftmaxes {input_size: SIZE, output_size: 3, k: 2}",
    "by position": "!Sequential [!Linear {in_features: SIZE, out_features: 3}, !LogSoftmax {dim: -1}]",
    "mlp": "!SoftmaxDecoder {input_size: SIZE, output_size: 3, n_layers: 2, hidden_activation: tanh}",
}
MODEL = """!cl.TextClassifier
      embedding: !EmbeddingEncoder {input_size: 7, embedding_size: 5, positions: sinusoidal}
      encoder: ENCODER
      decoder: DECODER"""
TRAIN = """
pipeline:
  train: !Trainer
    train_sampler: !BaseSampler {data: ROWS, batch_size: 3}
    dev_sampler: !BaseSampler {data: ROWS}
    model: MODEL
    loss_fn: LOSS
    metric_fn: METRIC
    optimizer: !torch.RAdam {params: !@ train.model.params, lr: RATE}
    iter_scheduler: SCHEDULER
    max_steps: 2
    iter_per_step: UPDATES
"""
NOAM = "!NoamLR {optimizer: !@ train.optimizer, d_model: 8, warmup: 3}"
WARMUP = "!WarmupLR {optimizer: !@ train.optimizer, warmup: 0.25, decay: cosine}"


def run(tmp_path: Path, **parts: str) -> Outcome:
    text = TRAIN
    for name, part in {"RATE": "0.1", "UPDATES": "4", **parts}.items():
        text = text.replace(name, part)
    document = read_text(f"name: parts\nsave_path: {tmp_path}\n{text}", "parts.yaml")
    return Experiment.from_document(document).run(backend="in-process")


@pytest.mark.parametrize("number", range(len(ENCODERS)), ids=list(ENCODERS))
def test_encoders_and_decoders_train_and_are_loaded(number: int, tmp_path: Path) -> None:
    decoder = list(DECODERS.values())[number % 3].replace("SIZE", "!@ train.model.encoder.output_size")
    model = MODEL.replace("ENCODER", list(ENCODERS.values())[number]).replace("DECODER", decoder)
    outcome = run(
        tmp_path,
        MODEL=model,
        ROWS=ROWS,
        LOSS="!NLLLoss",
        METRIC="!Accuracy",
        SCHEDULER=[NOAM, WARMUP][number % 2],
    )
    assert outcome.exit_code == 0, [record.error for record in outcome.failed]
    ((key, record),) = outcome.records.items()
    assert record.metric is not None
    loaded = flambe.load(str(Path(outcome.folder) / "train" / key.variant / "model"))
    tokens = torch.tensor([[3, 4, 5, 6, 0], [5, 3, 0, 0, 0]])
    scores = loaded.eval()(tokens)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))
    torch.testing.assert_close(loaded(tokens[1:, :2]), scores[1:], atol=1e-5, rtol=1e-4)


NUMBERS = "[[[1.0, 0.0], 1], [[0.9, 0.1], 1], [[0.1, 1.0], 0], [[0.0, 0.8], 0]]"
LABELS = "[[[1.0, 0.0], [1, 0, 1]], [[0.0, 1.0], [0, 1, 0]], [[0.5, 0.5], [1, 1, 1]]]"


@pytest.mark.parametrize(
    ("model", "loss", "metric", "rows"),
    [
        ("!LogisticRegression {input_size: 2}", "!BCELoss", "!BinaryF1 {threshold: 0.4}", NUMBERS),
        ("!SoftmaxDecoder {input_size: 2, output_size: 2}", "!NLLLoss", "!MultiClassAUC", NUMBERS),
        (
            "!MLPEncoder {input_size: 2, output_size: 3}",
            "!MultiLabelCrossEntropy {weight: [1.0, 2.0, 1.0]}",
            "!MultiLabelCrossEntropy",
            LABELS,
        ),
        (
            "!SoftmaxDecoder {input_size: 2, output_size: 3}",
            "!MultiLabelNLLLoss",
            "!MultiLabelCrossEntropy",
            LABELS,
        ),
    ],
    ids=["logistic", "auc", "labels", "likelihood of labels"],
)
def test_losses_and_metrics_are_taken(model: str, loss: str, metric: str, rows: str, tmp_path: Path) -> None:
    parts = {"MODEL": model, "LOSS": loss, "METRIC": metric, "ROWS": rows, "SCHEDULER": "null"}
    outcome = run(tmp_path, **parts, RATE="0.5", UPDATES="15")
    assert outcome.exit_code == 0, [record.error for record in outcome.failed]
    (record,) = outcome.records.values()
    assert record.metric is not None
    assert record.metric < 1.1 if "Entropy" in metric else record.metric > 0.9
