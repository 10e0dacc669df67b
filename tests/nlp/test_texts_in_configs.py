"""Data sets, tokenizers, fields and models from sequence to sequence, run by configs."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import flambe
from flambe import Experiment
from flambe.language.read import read_text

MODULES = Path(__file__).parent / "modules"


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(MODULES))
    yield
    sys.modules.pop("answering", None)


def run(tmp_path: Path, config: str) -> dict[str, float | None]:
    """The metrics of a config's stages; the results lie in the folder `out`."""
    header, _, body = config.rpartition("---\n")
    whole = f"{header}---\nname: texts\nsave_path: {tmp_path}/out\n{body}"
    outcome = Experiment.from_document(read_text(whole if header else whole[4:], "texts.yaml")).run(
        backend="in-process"
    )
    assert outcome.exit_code == 0, [record.error for record in outcome.failed]
    return {key.stage: record.metric for key, record in outcome.records.items()}


CLASSIFY = """
pipeline:
  data: !cl.TCProcessor
    dataset: DATASET
    text_field: FIELD
  train: !Trainer
    train_sampler: !BaseSampler {data: !@ data.train, batch_size: 8}
    dev_sampler: !BaseSampler {data: !@ data.train}
    model: !cl.TextClassifier
      embedding: EMBEDDING
      encoder: null
      decoder: !SoftmaxDecoder {input_size: 7, output_size: !@ data.num_labels}
      pooling: mean
    loss_fn: LOSS
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.05}
    max_steps: 1
    iter_per_step: 40
"""
WORDS = "!EmbeddingEncoder {input_size: !@ data.vocab_size, embedding_size: 7}"
CHARS = """!CharsEncoder
        embedding: !EmbeddingEncoder {input_size: !@ data.vocab_size, embedding_size: 5}
        encoder: !CNNEncoder {input_channels: 5, channels: [7], pooling: max}"""
TABLE = "text,label\nwho sang it,HUM\nwho won,HUM\nwhere is it,LOC\nwhere was that,LOC\n"


@pytest.mark.parametrize(
    ("field", "embedding"),
    [
        ("!WordCharsField {tokenizer: !SpaceTokenizer }", CHARS),
        ("!TextField {tokenizer: !NLTKWordTokenizer }", WORDS),
        ("!TextField {tokenizer: !CharTokenizer }", WORDS),
        ("!TextField {tokenizer: !NGramTokenizer {n: [1, 2]}, drop_unknown: true}", WORDS),
        ("!BoWField {min_freq: 1}", "!MLPEncoder {input_size: !@ data.vocab_size, output_size: 7}"),
    ],
    ids=["characters of words", "NLTK", "characters", "n-grams", "bags of words"],
)
def test_fields_and_tokenizers(field: str, embedding: str, tmp_path: Path) -> None:
    if "NLTK" in field:
        pytest.importorskip("nltk")
    (tmp_path / "table.csv").write_text(TABLE)
    config = CLASSIFY.replace("DATASET", f"!cl.TabularDataset {{train: {tmp_path}/table.csv, header: true}}")
    if "BoW" in field:
        config = config.replace("!cl.TextClassifier", "!Sequential").replace("embedding:", "first:")
        config = config.replace("      encoder: null\n", "").replace("      pooling: mean\n", "")
    metrics = run(
        tmp_path, config.replace("FIELD", field).replace("EMBEDDING", embedding).replace("LOSS", "!NLLLoss")
    )
    assert metrics["train"] == 1.0


def test_newsgroups(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "news.tar.gz", "w:gz") as archive:
        for number in range(20):
            for group in ("sci.space", "rec.autos"):
                for part in ("train", "test"):
                    content = f"Subject: {group}\n\nabout {group.split('.')[1]} again {number}\n".encode()
                    member = tarfile.TarInfo(f"20news-bydate-{part}/{group}/{number}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    dataset = f"!cl.NewsGroupsDataset {{path: {tmp_path}/news.tar.gz, remove: [headers]}}"
    config = (
        CLASSIFY.replace("DATASET", dataset).replace("FIELD", "!TextField {}").replace("EMBEDDING", WORDS)
    )
    assert run(tmp_path, config.replace("LOSS", "!NLLLoss"))["train"] == 1.0


MODEL_LANGUAGE = """
pipeline:
  data: !lm.LMProcessor {dataset: DATASET, text_field: FIELD}
  train: !Trainer
    train_sampler: !lm.CorpusSampler {data: !@ data.train, batch_size: 2, unroll_size: 5}
    dev_sampler: !lm.CorpusSampler {data: !@ data.dev, batch_size: 1}
    model: !lm.LanguageModel
      embedding: !EmbeddingEncoder {input_size: !@ data.vocab_size, embedding_size: 6}
      encoder: !RNNEncoder {input_size: 6, hidden_size: 6}
      decoder: !SoftmaxDecoder {input_size: 6, output_size: !@ data.vocab_size}
      tie_weights: true
    loss_fn: !NLLLoss
    metric_fn: METRIC
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.1}
    max_steps: 1
    iter_per_step: 60
"""
LINES = {"train": " the cat sat \n the dog sat \n" * 8, "valid": " the cat sat \n", "test": " the dog sat \n"}


@pytest.mark.parametrize("name", ["PTB", "WikiText103", "WikiText2", "Enwik8"])
def test_corpora(name: str, tmp_path: Path) -> None:
    for part, text in LINES.items():
        (tmp_path / f"ptb.{part}.txt").write_text(text)
        (tmp_path / f"wiki.{part}.tokens").write_text(text)
    (tmp_path / "enwik8").write_bytes(b"".join(text.encode() for text in LINES.values()))
    options = f"path: {tmp_path}"
    field, metric = "!LMField {}", "!Perplexity"
    if name == "Enwik8":
        options = f"path: {tmp_path}/enwik8, num_eval_symbols: 14"
        field, metric = "!LMField {tokenizer: !CharTokenizer , eos_token: null}", "!BPC"
    config = MODEL_LANGUAGE.replace("DATASET", f"!lm.{name}Dataset {{{options}}}")
    metrics = run(tmp_path, config.replace("FIELD", field).replace("METRIC", metric))
    assert metrics["train"] is not None
    assert metrics["train"] < (2.5 if metric == "!Perplexity" else 2.0)  # seven words, eleven characters


ANSWER = """
my: answering
---
pipeline:
  train: !Trainer
    train_sampler: !BaseSampler {data: ROWS, batch_size: 4}
    dev_sampler: !BaseSampler {data: ROWS}
    model: !my.Answerer
      size: 7
      embedding: !EmbeddingEncoder {input_size: 7, embedding_size: 6}
      ENCODER
      decoder: DECODER
    loss_fn: !NLLLoss {ignore_index: 0}
    metric_fn: !Accuracy {ignore_index: 0}
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.02}
    max_steps: 1
    iter_per_step: 60
"""
ROWS = "[[[3, 4, 5], [1, 3, 4, 5], [3, 4, 5, 2]], [[6, 4], [1, 6, 4], [6, 4, 2]], [[5], [1, 5], [5, 2]]]"
SIZES = "d_model: 8, n_heads: 2, dim_feedforward: 9, dropout: 0.0"


@pytest.mark.parametrize("kind", ["Transformer", "TransformerSRU"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "decoder"])
def test_sequences_are_answered_by_sequences(kind: str, whole: bool, tmp_path: Path) -> None:
    layers = "n_encoder_layers: 1, n_decoder_layers: 1" if whole else "n_layers: 1"
    decoder = f"!{kind}{'' if whole else 'Decoder'} {{input_size: 6, {SIZES}, {layers}}}"
    encoder = "" if whole else "encoder: !RNNEncoder {input_size: 6, hidden_size: 8}"
    config = ANSWER.replace("DECODER", decoder).replace("ENCODER", encoder).replace("ROWS", ROWS)
    assert run(tmp_path, config)["train"] == 1.0  # each copies what it is asked
    model = flambe.load(str(next((tmp_path / "out").rglob("train/*/model"))), trust=["answering"]).eval()
    said = model(torch.tensor([[6, 4, 0]]), torch.tensor([[1, 6, 4, 0]])).argmax(-1)
    assert said[0, :3].tolist() == [6, 4, 2]
