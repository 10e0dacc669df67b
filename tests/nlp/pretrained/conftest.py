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
    "distilbert": {"hidden_dim": 20},
    "electra": {"embedding_size": 6},
    "modernbert": dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), 2),
    "rembert": {"input_embedding_size": 6, "bos_token_id": 2, "eos_token_id": 3},
    "roformer": {"embedding_size": 6},
}


def settings(kind: str, **more: Any) -> dict[str, Any]:
    """The config of a tiny model of a type, in plain values."""
    return {"model_type": kind, **SETTINGS, **FURTHER.get(kind, {}), **more}


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=16, **special)
    wrapped.save_pretrained(folder)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the folder of a tiny pretrained model with random weights; one for each set of arguments."""
    from transformers import AutoConfig, AutoModel

    made: dict[str, Path] = {}

    def make(kind: str = "bert", **more: Any) -> Path:
        key = repr((kind, more))
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                model = AutoModel.from_config(AutoConfig.for_model(**settings(kind, **more)))
                for parameter in model.parameters():  # norms and biases too, which begin as 1 and 0
                    torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
            save_tokenizer(folder)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture
def bert(folder_of: Callable[..., Path]) -> str:
    """The folder of a tiny BERT, whose padding is number 0."""
    return str(folder_of("bert", pad_token_id=0))
