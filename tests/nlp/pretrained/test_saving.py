from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import flambe
from flambe.build.builder import Builder
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe_nlp.classification import QuestionsDataset, TCProcessor, TextClassifier
from flambe_nlp.pretrained import (
    BERTTextField,
    PretrainedTransformerEmbedder,
    PretrainedTransformerEncoder,
)
from flambe_torch.nn import SoftmaxDecoder

CONFIG = """
!cl.TextClassifier
embedding: !lm.BERTEmbeddings.from_alias {alias: FOLDER, dropout: 0.3}
encoder: !lm.BERTEncoder.from_alias {alias: FOLDER, n_frozen_layers: 1}
decoder: !SoftmaxDecoder {input_size: !@ train.encoder.config.hidden_size, output_size: 3}
"""
TOKENS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 1, 1, 1]])


def build(text: str) -> Any:
    def outside(path: object) -> Any:
        raise AssertionError(f"{path} leads out of the stage")

    return Builder(Registry.load(), stage="train", outside=outside).build(read_text(text).root)


@pytest.fixture
def folder(folder_of: Callable[..., Path], tmp_path: Path) -> Path:
    """A pretrained model that will be gone."""
    copied = tmp_path / "pretrained"
    shutil.copytree(folder_of("roberta"), copied)
    return copied


@pytest.fixture
def model(folder: Path) -> TextClassifier:
    made: TextClassifier = build(CONFIG.replace("FOLDER", str(folder)))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1)
    return made


def test_each_part_has_its_own_folder_and_state(model: TextClassifier, tmp_path: Path) -> None:
    flambe.save(model, tmp_path / "save")
    for part in ("embedding", "encoder", "decoder"):
        state = torch.load(tmp_path / "save" / part / "state.pt", weights_only=True)
        assert set(state) == set(getattr(model, part).state_dict())
    assert "model_type: roberta" in (tmp_path / "save" / "encoder" / "config.yaml").read_text()


def test_a_saved_model_is_loaded_where_there_is_neither_its_source_nor_a_network(
    model: TextClassifier, folder: Path, bert: str, tmp_path: Path
) -> None:
    flambe.save(model, tmp_path / "save")
    field = BERTTextField(str(folder), max_len=6)
    processor = TCProcessor(QuestionsDataset(), text_field=field)
    flambe.save(processor, tmp_path / "processor")
    model.eval()
    assert model.encoder is not None
    vectors = torch.ones(1, 2, 12)
    expected = {
        "scores": model(TOKENS).detach(),
        "encoded": model.encoder(vectors).detach(),
        "tokens": processor.process(["who was ada lovelace?", "what?"]),
        "learning": [name for name, p in model.named_parameters() if p.requires_grad],
    }
    torch.save(expected, tmp_path / "expected.pt")
    shutil.rmtree(folder)
    code = f"""
import torch, flambe
tokens = torch.tensor({TOKENS.tolist()})
expected = torch.load("{tmp_path}/expected.pt", weights_only=True)
model = flambe.load("{tmp_path}/save").eval()
encoder = flambe.load("{tmp_path}/save/encoder").eval()
assert torch.equal(model(tokens), expected["scores"])
assert torch.equal(encoder(torch.ones(1, 2, 12)), expected["encoded"])
assert [n for n, p in model.named_parameters() if p.requires_grad] == expected["learning"]
assert model.embedding.embeddings.dropout.p == 0.3
processor = flambe.load("{tmp_path}/processor")
assert torch.equal(processor.process(["who was ada lovelace?", "what?"]), expected["tokens"])
flambe.save(model, "{tmp_path}/again")
assert torch.equal(flambe.load("{tmp_path}/again").eval()(tokens), expected["scores"])
"""
    code += (
        f"import flambe_nlp.pretrained as p; p.BERTEncoder({bert!r}); p.BERTTextField({bert!r}).vocab_size"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")  # reading pretrained models is quiet too


@pytest.mark.parametrize("kind", ["bert", "granite"])
def test_a_saved_model_keeps_its_tokenizers_padding(
    folder_of: Callable[..., Path], kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "pretrained"
    shutil.copytree(folder_of(kind, pads=5, pad_token_id=None if kind == "granite" else 0), folder)
    embedder = PretrainedTransformerEmbedder.from_alias(str(folder))
    model = TextClassifier(embedder, None, SoftmaxDecoder(12, 3)).eval()
    flambe.save(model, tmp_path / "save")
    shutil.rmtree(folder)
    tokens = torch.tensor([[6, 7, 8, 9], [9, 8, 5, 5]])
    loaded = flambe.load(tmp_path / "save").eval()
    assert loaded.embedding.padding_idx == loaded.pad_index == 5
    assert torch.equal(loaded(tokens), model(tokens))
    torch.testing.assert_close(loaded(tokens)[1:], loaded(tokens[1:, :2]))


def test_a_field_that_read_nothing_yet_saves_what_it_needs(bert: str, tmp_path: Path) -> None:
    flambe.save(BERTTextField.from_alias(bert), tmp_path / "save")
    loaded = flambe.load(tmp_path / "save")
    loaded.alias = "gone"
    assert loaded.process(["who was ada?"])[0].tolist() == [2, 4, 6, 8, 9, 3]


def test_weights_load_into_a_part_that_python_built(bert: str, tmp_path: Path) -> None:
    trained = PretrainedTransformerEncoder.from_alias(bert)
    with torch.no_grad():
        next(trained.parameters()).fill_(2.0)
    flambe.save(trained, tmp_path / "save")
    other = PretrainedTransformerEncoder.from_alias(bert)
    flambe.load_state(other, tmp_path / "save")
    assert next(other.parameters()).unique().tolist() == [2.0]


def test_the_config_of_a_run_keeps_the_alias(folder: Path, model: TextClassifier) -> None:
    assert model.embedding.alias == str(folder)
    assert model.embedding.padding_idx == model.pad_index == 1
