from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "what", "was", "is", "ada", "?", "love", "##lace", "the"]

SETTINGS: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 30,
    "pad_token_id": 1,
}
FURTHER: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 6},
    "bart": {"encoder_attention_heads": 2, "decoder_attention_heads": 2},
    "distilbert": {"hidden_dim": 20},
    "electra": {"embedding_size": 6},
    "funnel": {"architectures": ["FunnelModel"], "block_sizes": [1, 1], "d_head": 6, "d_inner": 20},
    "gpt2": {"bos_token_id": 2, "eos_token_id": 3},
    "modernbert": dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), 2),
    "rembert": {"input_embedding_size": 6, "bos_token_id": 2, "eos_token_id": 3},
    "roformer": {"embedding_size": 6},
    "squeezebert": {
        "embedding_size": 12,
        **dict.fromkeys(("q_groups", "k_groups", "v_groups", "post_attention_groups"), 1),
        **dict.fromkeys(("intermediate_groups", "output_groups"), 1),
    },
    "t5": {"d_model": 12, "d_kv": 6},
}


def settings(kind: str, **more: Any) -> dict[str, Any]:
    """The config of a tiny model of a type, in plain values."""
    made = {"model_type": kind, **SETTINGS, **FURTHER.get(kind, {}), **more}
    if kind == "funnel":  # counts its layers itself
        del made["num_hidden_layers"]
    return made


def save_tokenizer(folder: Path, *, pads: int, longest: int | None) -> None:
    """The tokenizer of `WORDS`, with the token that pads at the number `pads`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*WORDS[1:]]
    words.insert(pads, WORDS[0])
    vocab = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=longest, **special)
    wrapped.save_pretrained(folder)


@pytest.fixture(name="settings", scope="session")
def settings_fixture() -> Callable[..., dict[str, Any]]:
    """`settings`, for tests that need no folder."""
    return settings


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the folder of a tiny pretrained model with random weights; one for each set of arguments.

    `pads` is the number that pads in its tokenizer, the config's unless given, and `longest` the tokens that
    the tokenizer says the model takes.
    """
    from transformers import AutoConfig, AutoModel

    made: dict[str, Path] = {}

    def make(kind: str = "bert", *, pads: int | None = None, longest: int | None = 16, **more: Any) -> Path:
        key = repr((kind, pads, longest, more))
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                model = AutoModel.from_config(AutoConfig.for_model(**settings(kind, **more)))
                for parameter in model.parameters():  # norms and biases too, which begin as 1 and 0
                    torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
            pad = model.config.pad_token_id if pads is None else pads
            save_tokenizer(folder, pads=pad, longest=longest)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture
def bert(folder_of: Callable[..., Path]) -> str:
    """The folder of a tiny BERT, whose padding is number 0."""
    return str(folder_of("bert", pad_token_id=0))
