from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flambe_nlp.pretrained import (
    PretrainedTransformerEmbedder,
    PretrainedTransformerEmbeddings,
    PretrainedTransformerEncoder,
)
from flambe_nlp.pretrained.architecture import SPLIT
from flambe_torch.errors import DataError
from flambe_torch.nn import SelfAttentivePooling

H, PAD = 12, 1
TOKENS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, PAD, PAD, PAD], [3, 4, 5, PAD, PAD]])
Folders = Callable[..., Path]
Apart = tuple[PretrainedTransformerEmbeddings, PretrainedTransformerEncoder]


def apart(folder: Path | str, **options: Any) -> Apart:
    return (
        PretrainedTransformerEmbeddings.from_alias(str(folder)),
        PretrainedTransformerEncoder.from_alias(str(folder), **options),
    )


def whole(folder: Path | str) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True)


def own_output(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """What transformers' own model gives, padded places 0."""
    mask = tokens != PAD
    output: torch.Tensor = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
    return output * mask[:, :, None]


@pytest.mark.parametrize("kind", sorted(SPLIT))
def test_the_parts_together_are_the_model(folder_of: Folders, kind: str) -> None:
    folder = folder_of(kind)
    embeddings, encoder = apart(folder)
    model = whole(folder)
    for module in (embeddings, encoder, model):
        module.eval()
    x = embeddings(TOKENS)
    output = encoder(x, TOKENS != PAD)
    expected = own_output(model, TOKENS)
    assert x.shape == (*TOKENS.shape, embeddings.output_size)
    assert output.shape == (*TOKENS.shape, encoder.output_size) == (3, 5, H)
    assert torch.equal(output, expected)

    output.square().sum().backward()
    expected.square().sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    ours = {n: p.grad for n, p in embeddings.named_parameters() if p.grad is not None}
    ours |= {n.removeprefix("model."): p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, msg=name)


@pytest.mark.parametrize("kind", sorted(SPLIT))
def test_padding_does_not_change_a_row(folder_of: Folders, kind: str) -> None:
    embeddings, encoder = apart(folder_of(kind), pooling="mean")
    embeddings.eval()
    encoder.eval()
    together = encoder(embeddings(TOKENS), TOKENS != PAD)
    alone = encoder(embeddings(TOKENS[1:2, :2]), None)
    torch.testing.assert_close(together[1:2], alone)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2", "t5"])
def test_the_whole_model_is_for_any_type(folder_of: Folders, kind: str) -> None:
    more = {"gpt2": {"bos_token_id": 2, "eos_token_id": 3}, "t5": {"d_model": H, "d_kv": 6}}.get(kind, {})
    folder = folder_of(kind, **more)
    embedder = PretrainedTransformerEmbedder.from_alias(str(folder)).eval()
    model = whole(folder).eval()
    model = model.get_encoder() if kind == "t5" else model
    assert torch.equal(embedder(TOKENS), own_output(model, TOKENS))
    assert embedder.output_size == H


def test_a_type_that_is_not_taken_apart_is_explained(folder_of: Folders) -> None:
    folder = folder_of("gpt2", bos_token_id=2, eos_token_id=3)
    with pytest.raises(ValueError, match="use PretrainedTransformerEmbedder, the whole model") as caught:
        PretrainedTransformerEncoder.from_alias(str(folder))
    assert str(caught.value).startswith("models of type 'gpt2' are not taken apart into embeddings and")


@pytest.mark.parametrize("name", ["mean", "first", "max"])
def test_a_pooling_gives_one_vector_a_text(folder_of: Folders, name: str) -> None:
    embeddings, encoder = apart(folder_of("roberta"), pooling=name)
    encoder.eval()
    x, mask = embeddings.eval()(TOKENS), TOKENS != PAD
    vectors = encoder.model(inputs_embeds=x, attention_mask=mask.long()).last_hidden_state
    row = vectors[1, :2]  # two tokens, three places of padding
    expected = {"mean": row.mean(dim=0), "first": row[0], "max": row.amax(dim=0)}[name]
    torch.testing.assert_close(encoder(x, mask)[1], expected)


def test_the_models_own_pooler(folder_of: Folders) -> None:
    embeddings, encoder = apart(folder_of("bert"), pooling="pooler")
    model = whole(folder_of("bert")).eval()
    output = encoder.eval()(embeddings.eval()(TOKENS), TOKENS != PAD)
    expected = model(input_ids=TOKENS, attention_mask=(TOKENS != PAD).long()).pooler_output
    assert torch.equal(output, expected)


def test_a_model_without_a_pooler_is_explained(folder_of: Folders) -> None:
    with pytest.raises(ValueError, match="has no pooler of its own; choose pooling: mean or first"):
        PretrainedTransformerEncoder.from_alias(str(folder_of("distilbert")), pooling="pooler")


def test_a_row_without_tokens_does_no_harm(folder_of: Folders) -> None:
    embeddings, encoder = apart(folder_of("bert"), pooling="mean")
    tokens = torch.tensor([[5, 6, 7], [PAD, PAD, PAD]])
    pooled = encoder(embeddings(tokens), tokens != PAD)
    pooled.sum().backward()
    assert pooled[1].tolist() == [0] * H
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters() if p.grad is not None)


def test_each_part_reads_its_own_weights_alone(bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertModel

    loaded: list[set[str]] = []
    original = BertModel.from_pretrained.__func__

    def spy(cls: type, *args: Any, **kwargs: Any) -> Any:
        model, info = original(cls, *args, **kwargs)
        loaded.append(set(model.state_dict()))
        return model, info

    monkeypatch.setattr(BertModel, "from_pretrained", classmethod(spy))
    apart(bert)
    assert len(loaded) == 2
    assert not loaded[0] & loaded[1]


def test_two_of_one_alias_share_no_weights(bert: str) -> None:
    first, second = apart(bert), apart(bert)
    for one, other in zip(first, second, strict=True):
        shared = {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}
        places = {p.data_ptr() for p in one.parameters()} & {p.data_ptr() for p in other.parameters()}
        assert not shared
        assert not places


def test_reading_draws_no_random_numbers(bert: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    apart(bert)
    assert torch.equal(torch.rand(2), expected)


def test_new_weights_depend_on_the_seed() -> None:
    def made() -> torch.Tensor:
        config = {"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_attention_heads": 2}
        return next(PretrainedTransformerEncoder(config=config).parameters())

    torch.manual_seed(1)
    first = made()
    torch.manual_seed(1)
    assert torch.equal(made(), first)
    assert not torch.equal(made(), first)


def test_parts_are_in_training_mode_and_drop_out(bert: str) -> None:
    embeddings = PretrainedTransformerEmbeddings.from_alias(bert, dropout=0.5)
    assert all(module.training for module in embeddings.modules())
    assert not torch.equal(embeddings(TOKENS), embeddings(TOKENS))
    quiet = PretrainedTransformerEmbeddings.from_alias(bert, dropout=0.0)
    assert torch.equal(quiet(TOKENS), quiet(TOKENS))


def test_a_frozen_part_neither_learns_nor_drops_out(bert: str) -> None:
    encoder = PretrainedTransformerEncoder.from_alias(bert, dropout=0.5, freeze=True).train()
    x = torch.ones(1, 2, H)
    assert encoder.trainable_params == []
    assert torch.equal(encoder(x), encoder(x))


def test_a_pooling_that_learns_is_not_frozen_with_what_is_before_it(bert: str) -> None:
    pooling = SelfAttentivePooling(H, n_heads=2, attention_units=[3], attention_dropout=0.5)
    encoder = PretrainedTransformerEncoder.from_alias(bert, pooling=pooling, freeze=True).train()
    assert {id(parameter) for parameter in encoder.trainable_params} == set(map(id, pooling.parameters()))
    assert pooling.training
    assert not encoder.model.training


@pytest.mark.parametrize("pooling", [None, "mean", "pooler", SelfAttentivePooling(H, n_heads=2)])
def test_the_output_has_the_size_of_its_pooling(bert: str, pooling: Any) -> None:
    encoder = PretrainedTransformerEncoder.from_alias(bert, pooling=pooling)
    embedder = PretrainedTransformerEmbedder.from_alias(bert, pooling=pooling)
    assert encoder.output_size == encoder(torch.ones(1, 2, H)).shape[-1]
    assert embedder.output_size == embedder(TOKENS).shape[-1]


def test_the_first_layers_can_be_frozen(bert: str) -> None:
    encoder = PretrainedTransformerEncoder.from_alias(bert, n_frozen_layers=2)
    learning = {name.split(".")[3] for name, _ in encoder.named_trainable_params}
    assert learning == {"2"}


def test_shared_layers_are_not_frozen_one_by_one(folder_of: Folders) -> None:
    with pytest.raises(ValueError, match="the 3 layers of albert cannot be told apart"):
        PretrainedTransformerEncoder.from_alias(str(folder_of("albert")), n_frozen_layers=1)


@pytest.mark.parametrize("count", [4, -1])
def test_a_number_of_frozen_layers_that_there_are_not_is_an_error(bert: str, count: int) -> None:
    with pytest.raises(ValueError, match=f"^n_frozen_layers is {count}, but the model has 3 layers$"):
        PretrainedTransformerEncoder.from_alias(bert, n_frozen_layers=count)


@pytest.mark.parametrize(
    "kind", [PretrainedTransformerEmbeddings, PretrainedTransformerEncoder, PretrainedTransformerEmbedder]
)
def test_a_dropout_that_is_no_share_is_an_error(bert: str, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"^dropout must be from 0 to 1, but it is 1.5$"):
        kind.from_alias(bert, dropout=1.5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
@pytest.mark.parametrize("kind", ["bert", "electra", "modernbert"])
def test_copies_give_the_same(folder_of: Folders, kind: str, copied: Any) -> None:
    embeddings, encoder = apart(folder_of(kind))
    x = embeddings.eval()(TOKENS)
    assert torch.equal(copied(embeddings)(TOKENS), x)
    assert torch.equal(copied(encoder.eval())(x), encoder(x))


def test_a_folder_without_all_weights_is_an_error(bert: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(Path(bert) / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layer.1.output" not in name}
    (tmp_path / "config.json").write_text((Path(bert) / "config.json").read_text())
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError) as caught:
        PretrainedTransformerEncoder.from_alias(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} holds no weights for encoder.layer.1.output.LayerNorm.bias and 3 more of BertModel"
    )


def test_neither_alias_nor_config_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="PretrainedTransformerEncoder needs the alias of a pretrained model"
    ):
        PretrainedTransformerEncoder()


def test_half_precision_weights_are_trained_in_single_precision(bert: str, tmp_path: Path) -> None:
    whole(bert).half().save_pretrained(tmp_path)
    embeddings, encoder = apart(tmp_path)
    assert {p.dtype for part in (embeddings, encoder) for p in part.parameters()} == {torch.float32}
