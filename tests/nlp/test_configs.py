"""Small jobs, each from its config to its results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flambe.check import check
from flambe.experiment.experiment import Experiment
from flambe.experiment.session import Outcome
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_file, read_text
from flambe.registry.registry import Registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "language_model.yaml"


def run(text: str, folder: Path) -> Outcome:
    document = apply_overrides(read_text(text), [f"save_path={json.dumps(str(folder))}"])
    assert [str(problem) for problem in check(document, Registry.load())] == []
    outcome = Experiment.from_document(document).run()
    assert outcome.exit_code == 0
    return outcome


def metrics(outcome: Outcome, stage: str) -> list[float]:
    found = [record.metric for key, record in outcome.records.items() if key.stage == stage]
    return [metric for metric in found if metric is not None]


def test_the_language_model_example_learns_a_little(tmp_path: Path) -> None:
    changes = ["train.max_steps=2", "train.iter_per_step=8", "data.text_field.min_freq=20"]
    changes.append("train.model.encoder.rnn_type=lstm")  # one variant runs in this process
    document = apply_overrides(read_file(str(EXAMPLE)), [f"save_path={json.dumps(str(tmp_path))}", *changes])
    assert [str(problem) for problem in check(document, Registry.load())] == []
    outcome = Experiment.from_document(document).run()
    assert outcome.exit_code == 0
    assert len(metrics(outcome, "train")) == 1
    (perplexity,) = metrics(outcome, "evaluate")
    assert 5 < perplexity < 80  # of 258 words


LANGUAGE = """
name: language
pipeline:
  data: !lm.LMProcessor
    dataset: !lm.QuestionsDataset
    text_field: !LMField {tokenizer: !CharTokenizer}
    by_document: BY_DOCUMENT
  train: !Trainer
    train_sampler: SAMPLER {data: !@ data.dev, batch_size: 16}
    dev_sampler: SAMPLER {data: !@ data.dev, batch_size: 16}
    model: !lm.LanguageModel
      embedding: !EmbeddingEncoder {input_size: !@ data.vocab_size, embedding_size: 16}
      encoder: ENCODER
      decoder: !SoftmaxDecoder {input_size: 16, output_size: !@ data.vocab_size}
      tie_weights: true
      init_range: 0.1
    loss_fn: !NLLLoss
    metric_fn: !BPC
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.01}
    max_steps: 2
    iter_per_step: 10
"""


@pytest.mark.parametrize(
    ("by_document", "sampler", "encoder"),
    [
        ("false", "!lm.CorpusSampler", "!RNNEncoder {input_size: 16, hidden_size: 16, rnn_type: gru}"),
        (
            "true",
            "!BaseSampler",
            "!TransformerEncoder {input_size: 16, d_model: 16, n_heads: 2, n_layers: 1, dim_feedforward: 16, "
            "causal: true}",
        ),
    ],
)
def test_characters_are_learnt_in_streams_and_text_by_text(
    tmp_path: Path, by_document: str, sampler: str, encoder: str
) -> None:
    text = (
        LANGUAGE.replace("BY_DOCUMENT", by_document).replace("SAMPLER", sampler).replace("ENCODER", encoder)
    )
    (bits,) = metrics(run(text, tmp_path), "train")
    assert 2 < bits < 6.2  # of about 80 characters: 6.3 bits at first


BAG = """
name: bag
pipeline:
  data: !cl.TCProcessor
    dataset: !cl.QuestionsDataset
    text_field: !BoWField
      tokenizer: !NGramTokenizer {n: [1, 2], stop_words: [the, of]}
      lower: true
      min_freq: 3
  train: !Trainer
    train_sampler: !BaseSampler {data: !@ data.train, batch_size: 64}
    dev_sampler: !BaseSampler {data: !@ data.dev, batch_size: 512}
    model: !SoftmaxDecoder {input_size: !@ data.vocab_size, output_size: !@ data.n_labels}
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.02}
    max_steps: 2
"""


def test_a_bag_of_words_is_classified(tmp_path: Path) -> None:
    (accuracy,) = metrics(run(BAG, tmp_path), "train")
    assert accuracy > 0.6


COLUMNS = """
name: tp
pipeline:
  data: !cl.TabularProcessor
    dataset: !cl.QuestionsDataset
    transform:
      text: !TextField {min_freq: 2}
      label: !LabelField
  train: !Trainer
    train_sampler: !BaseSampler {data: !@ data.train, batch_size: 64}
    dev_sampler: !BaseSampler {data: !@ data.dev, batch_size: 512}
    model: !cl.TextClassifier
      embedding: !EmbeddingEncoder {input_size: !@ data.fields.text.vocab_size, embedding_size: 8}
      encoder: !RNNEncoder {input_size: 8, hidden_size: 8, pooling: last}
      decoder: !SoftmaxDecoder {input_size: 8, output_size: !@ data.fields.label.vocab_size}
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.02}
    max_steps: 1
    iter_per_step: 20
"""


def test_columns_have_fields_of_their_own(tmp_path: Path) -> None:
    (accuracy,) = metrics(run(COLUMNS, tmp_path), "train")
    assert accuracy > 0.2
