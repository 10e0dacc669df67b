from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flambe_nlp.pretrained import BERTEncoder
from flambe_nlp.pretrained.source import Source
from flambe_torch.errors import DataError, MissingDataError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_model_that_is_nowhere_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        BERTEncoder.from_alias("no-such-model")
    assert str(caught.value) == (
        f"there is no pretrained model 'no-such-model': it is no folder, not in the cache {tmp_path}, and "
        "HF_HUB_OFFLINE is set. Give the path of a folder that holds it or 'package:NAME/FOLDER', or "
        "download it where there is a network: hf download no-such-model"
    )
    assert caught.value.__context__ is None  # no traceback of the library's


def test_a_hub_that_cannot_be_reached_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(MissingDataError, match=r"http://127.0.0.1:9 cannot be reached .*refused"):
        Source("no-such-model").config()
    assert time.monotonic() - start < 5


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"there is no folder of a pretrained model '/.*/gone'"):
        Source(str(tmp_path / "gone"))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"is no folder of a pretrained model: it has no config.json"):
        Source(str(tmp_path))


@pytest.mark.parametrize("part", ["AutoConfig", "AutoTokenizer"])
def test_code_beside_a_model_is_not_run_and_nobody_is_asked(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *question: "y")
    named = {"AutoConfig": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
    settings = {"model_type": "own", "auto_map": {part: named[part]}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "Own"}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    source = Source(str(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        source.config() if part == "AutoConfig" else source.tokenizer()
    assert not (tmp_path / "ran").exists()


def test_a_folder_below_the_data_folder_is_found(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(bert)
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    assert Source("mine").folder == tmp_path / "mine"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", b"torn", "header"),
        ("config.json", b"{", "not a valid JSON file"),
        ("config.json", b'{"model_type": "nothing"}', "model type `nothing`"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(
    bert: str, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    for file in Path(bert).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"^{tmp_path} cannot be read: .*{reason}") as caught:
        BERTEncoder.from_alias(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_has_none(bert: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((Path(bert) / "config.json").read_bytes())
    with pytest.raises(DataError, match=f"^{tmp_path} cannot be read: it has no tokenizer$"):
        Source(str(tmp_path)).tokenizer()  # the library would make one up
    assert Source(str(tmp_path)).pad_index() is None


def test_a_cached_model_without_its_tokenizer_has_none(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--bert" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--some--bert" / "refs").mkdir()
    (tmp_path / "models--some--bert" / "refs" / "main").write_text("1")
    (snapshot / "config.json").write_bytes((Path(bert) / "config.json").read_bytes())
    assert Source("some/bert").config().hidden_size == 12
    with pytest.raises(MissingDataError, match="there is no pretrained model 'some/bert'"):
        Source("some/bert").tokenizer()
    for file in Path(bert).glob("tokenizer*"):
        (snapshot / file.name).write_bytes(file.read_bytes())
    assert Source("some/bert").pad_index() == 0


def test_a_folder_inside_an_installed_package(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "with_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model").symlink_to(bert)
    monkeypatch.syspath_prepend(tmp_path)
    assert Source("package:with_a_model/model").folder == package / "model"
    with pytest.raises(MissingDataError, match="with_a_model/other is no folder of a pretrained model"):
        Source("package:with_a_model/other")


@pytest.mark.parametrize("name", ["no_such_package", "os", "not-a-name"])
def test_a_package_that_cannot_hold_a_model_is_named(name: str) -> None:
    with pytest.raises(MissingDataError, match=f"no Python package '{name}' is installed"):
        Source(f"package:{name}/model")


def test_nothing_heavy_is_imported_before_a_model_is_read() -> None:
    code = (
        "import sys, flambe_nlp.language_modeling as lm; lm.BERTTextField.from_alias('x')\n"
        "found = {'transformers', 'tokenizers', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
