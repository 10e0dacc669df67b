from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flambe_nlp.classification import TextClassifier
from flambe_nlp.pretrained import (
    PretrainedTransformerEmbedder,
    PretrainedTransformerEmbeddings,
    PretrainedTransformerEncoder,
    PretrainedTransformerField,
)
from flambe_nlp.pretrained.architecture import SPLIT
from flambe_torch.errors import DataError
from flambe_torch.nn import SelfAttentivePooling, SoftmaxDecoder

H, PAD = 12, 1
LIKE_ROBERTA = ("camembert", "data2vec-text", "mpnet", "roberta", "xlm-roberta")
"""Their first token has the position after that of padding, which is 1 here."""
TOKENS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, PAD, PAD, PAD], [3, 4, 5, PAD, PAD]])
Folders = Callable[..., Path]
Settings = Callable[..., dict[str, Any]]
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


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "gpt2", "t5", "squeezebert", "layoutlm", "funnel"]
)
def test_the_whole_model_is_for_any_type(folder_of: Folders, kind: str) -> None:
    folder = folder_of(kind)
    embedder = PretrainedTransformerEmbedder.from_alias(str(folder)).eval()
    model = whole(folder).eval()
    model = model.get_encoder() if kind == "t5" else model
    assert torch.equal(embedder(TOKENS), own_output(model, TOKENS))
    assert embedder.output_size == H


def test_a_class_is_the_one_that_the_config_names(folder_of: Folders) -> None:
    folder = folder_of("funnel", architectures=["FunnelBaseModel"])
    embedder = PretrainedTransformerEmbedder.from_alias(str(folder)).eval()
    again = PretrainedTransformerEmbedder(**embedder.saved_arguments())
    assert type(embedder.model) is type(again.model) is type(whole(folder))
    with pytest.raises(ValueError, match=r"^the model gives 3 vectors for 5 tokens; it must give one each$"):
        embedder(TOKENS)


def test_a_class_that_no_config_names_is_the_first(settings: Settings) -> None:
    config = settings("funnel", architectures=None)
    assert type(PretrainedTransformerEmbedder(config=config).model).__name__ == "FunnelModel"


@torch.no_grad()
def scores_alone_and_beside_a_longer_one(model: TextClassifier, folder: Path) -> list[torch.Tensor]:
    texts = ["who was ada", "what is love? who was the ada?"]
    rows = PretrainedTransformerField(str(folder)).process(texts)
    assert len(rows[0]) < len(rows[1])
    model.eval()
    return [model(rows.batch(indices))[0] for indices in ([0], [0, 1])]


@pytest.mark.parametrize(
    ("kind", "in_config", "in_tokenizer"),
    [("bert", 0, 5), ("roberta", 1, 5), ("granite", None, 5), ("gpt2", None, 0), ("bert", 5, 0)],
)
def test_padding_is_what_the_tokenizer_says(
    folder_of: Folders, kind: str, in_config: int | None, in_tokenizer: int
) -> None:
    folder = folder_of(kind, pads=in_tokenizer, pad_token_id=in_config)
    embedder = PretrainedTransformerEmbedder.from_alias(str(folder))
    model = TextClassifier(embedder, None, SoftmaxDecoder(H, 3))
    assert embedder.padding_idx == model.pad_index == in_tokenizer
    alone, beside = scores_alone_and_beside_a_longer_one(model, folder)
    torch.testing.assert_close(beside, alone)


@pytest.mark.parametrize(("kind", "in_config"), [("bert", 0), ("roberta", 1)])
def test_padding_of_the_parts_is_what_the_tokenizer_says(
    folder_of: Folders, kind: str, in_config: int
) -> None:
    folder = folder_of(kind, pads=5, pad_token_id=in_config)
    embeddings, encoder = apart(folder)
    model = TextClassifier(embeddings, encoder, SoftmaxDecoder(H, 3))
    assert embeddings.padding_idx == model.pad_index == 5
    alone, beside = scores_alone_and_beside_a_longer_one(model, folder)
    torch.testing.assert_close(beside, alone)


def test_another_padding_leaves_the_models_positions_as_they_are(folder_of: Folders) -> None:
    folder = folder_of("roberta", pads=5, pad_token_id=1)
    embeddings, _ = apart(folder)
    tokens = torch.tensor([[7, 8, 9]])
    assert torch.equal(embeddings.eval()(tokens), whole(folder).eval().embeddings(input_ids=tokens))


@pytest.mark.parametrize("kind", [PretrainedTransformerEmbeddings, PretrainedTransformerEmbedder])
def test_padding_may_be_given_and_is_the_configs_without_a_tokenizer(
    folder_of: Folders, settings: Settings, tmp_path: Path, kind: Any
) -> None:
    folder = folder_of("bert", pads=5, pad_token_id=3)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert kind.from_alias(str(folder), pad_index=2).padding_idx == 2
    assert kind.from_alias(str(tmp_path)).padding_idx == 3
    assert kind(config=settings("bert", pad_token_id=4)).padding_idx == 4


@pytest.mark.parametrize("kind", [*sorted(SPLIT), "bart", "gpt2", "nystromformer", "granite", "t5"])
def test_texts_of_more_tokens_than_there_are_positions_are_refused(settings: Settings, kind: str) -> None:
    endless = {"deberta-v2": {"position_biased_input": False}}.get(kind, {})
    unlimited = kind in ("deberta-v2", "modernbert", "granite", "t5")
    most = 28 if kind in LIKE_ROBERTA else 30
    embedder = PretrainedTransformerEmbedder(config=settings(kind, **endless)).eval()
    longest = torch.full((2, most), 7)
    assert embedder(longest).shape == (2, most, H)
    longer = torch.full((2, most + 1), 7)
    if unlimited:
        assert embedder(longer).shape == (2, most + 1, H)
        return
    with pytest.raises((RuntimeError, IndexError)):
        embedder.model(input_ids=longer)
    message = (
        f"^a text has {most + 1} tokens, but {kind} has positions for {most}: "
        f"give the text field max_len={most} or less$"
    )
    with pytest.raises(ValueError, match=message):
        embedder(longer)
    if kind in SPLIT:
        embeddings = PretrainedTransformerEmbeddings(config=settings(kind))
        encoder = PretrainedTransformerEncoder(config=settings(kind))
        assert encoder(embeddings(longest)).shape == (2, most, H)
        with pytest.raises(ValueError, match=message):
            encoder(embeddings(longer))


def test_a_type_that_is_not_taken_apart_is_explained(folder_of: Folders) -> None:
    folder = folder_of("gpt2")
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
