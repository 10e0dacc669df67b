"""A save that was altered in any way is refused, and the file that was altered is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import parts
import pytest

from flambe import saving
from flambe.errors import DamagedSaveError, SavingError
from flambe.saving.seal import SEAL, seal_text
from flambe.saving.writing import CONFIG

LEVELS = ["", "encoder", "layers/0"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "s"
    model = parts.Model(parts.Encoder(2), layers=[parts.Encoder(3)], matrix=np.arange(3))
    model.heads = model.encoder
    model.notes.append("trained")
    model.encoder.seen = 1
    saving.save(model, folder)
    return folder


FILES = [
    *(f"{name}" for name in (SEAL, CONFIG, "links.json", "link-0.npy", "state.json", "version.txt")),
    *(f"{level}/{name}" for level in LEVELS[1:] for name in (SEAL, CONFIG, "state.json", "version.txt")),
    *(f"{level}/state-0.npy" for level in LEVELS[1:]),
]


def test_the_list_of_files_is_whole(saved: Path) -> None:
    assert sorted(FILES) == sorted(str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["flipped", "cut short", "emptied", "extended", "removed", "swapped"])
def test_every_altered_file_is_named_at_every_level_above_it(
    saved: Path, tmp_path: Path, file: str, how: str
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "s"))
    path = folder / file
    data = path.read_bytes()
    if how == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif how == "removed":
        path.unlink()
    else:
        name = "config.yaml" if file == "encoder/state.json" else "state.json"
        other = (folder / "encoder" / name).read_bytes()
        path.write_bytes(
            {"cut short": data[:-1], "emptied": b"", "extended": data + b"x", "swapped": other}[how]
        )
    assert not path.exists() or path.read_bytes() != data
    for level in LEVELS:
        if not file.startswith(level) or (level and not file.startswith(f"{level}/")):
            assert saving.load(folder / level) is not None
            continue
        if how == "removed" and file == f"{level}/{SEAL}".lstrip("/"):
            continue  # then this folder is no save at all
        with pytest.raises(DamagedSaveError) as caught:
            saving.load(folder / level)
        assert str(caught.value).startswith(f"{path} ")
        if not file.endswith("link-0.npy"):  # holds no state
            with pytest.raises(DamagedSaveError):
                saving.load_state(saving.load(saved / level), folder / level)


def test_a_link_in_the_place_of_a_file_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "s"))
    (folder / "encoder" / "state.json").rename(tmp_path / "elsewhere.json")
    (folder / "encoder" / "state.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(SavingError) as caught:
        saving.load(folder / "encoder")
    assert str(caught.value) == f"cannot read {folder}/encoder/state.json: it is a link to another file"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "a\\b", SEAL])
def test_a_seal_cannot_name_files_elsewhere(saved: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(saved / "encoder", tmp_path / "s"))
    seal = json.loads((folder / SEAL).read_bytes())
    seal["files"][name] = {"bytes": 0, "sha256": ""}
    (folder / SEAL).write_bytes(seal_text(seal["files"], seal["parts"]))
    with pytest.raises(SavingError) as caught:
        saving.load(folder)
    assert str(folder) in str(caught.value) or repr(name) in str(caught.value)


@pytest.mark.parametrize("part", ["..", "../s", "/etc", ""])
def test_a_seal_cannot_name_parts_elsewhere(saved: Path, tmp_path: Path, part: str) -> None:
    folder = Path(shutil.copytree(saved / "encoder", tmp_path / "s"))
    seal = json.loads((folder / SEAL).read_bytes())
    (folder / SEAL).write_bytes(seal_text(seal["files"], {part: "0" * 64}))
    with pytest.raises(SavingError):
        saving.load(folder)


def forge(folder: Path, name: str, data: bytes) -> None:
    """Alter a file the way an attacker would: with a seal that fits."""
    import hashlib

    seal = json.loads((folder / SEAL).read_bytes())
    (folder / name).write_bytes(data)
    seal["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / SEAL).write_bytes(seal_text(seal["files"], seal["parts"]))


@pytest.fixture
def encoder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "encoder", tmp_path / "s"))


def test_an_array_file_with_a_pickle_is_refused(encoder: Path) -> None:
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    forge(encoder, "state-0.npy", stream.getvalue())
    with pytest.raises(DamagedSaveError) as caught:
        saving.load(encoder)
    assert str(caught.value) == "state-0.npy is no array that can be read without running code"
    assert not Bomb.went_off


def test_an_array_file_with_a_garbled_header_is_refused(encoder: Path) -> None:
    data = (encoder / "state-0.npy").read_bytes()
    forge(encoder, "state-0.npy", data.replace(b"{'descr'", b"\xa2'descr'"))
    with pytest.raises(DamagedSaveError) as caught:
        saving.load(encoder)
    assert str(caught.value) == "state-0.npy is no array that can be read without running code"


class Bomb:
    went_off = False

    def __reduce__(self) -> object:
        return setattr, (Bomb, "went_off", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[1]",
        '{"$what": 1}',
        '{"seen": {"$bytes": 3}}',
        '{"$set": [[]]}',
        "\xff",
        '{"seen":{"$mapping":[1]}}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_state_that_nobody_wrote_is_refused(encoder: Path, text: str) -> None:
    forge(encoder, "state.json", text.encode("latin-1"))
    with pytest.raises(DamagedSaveError):
        saving.load(encoder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "- 1", "!parts:Encoder {size: !@ nowhere.x}", "\t", "a: 1\n---\nb: 1\n---\nc: 1", "\xff: 1"],
)
def test_a_config_that_nobody_wrote_is_refused(encoder: Path, text: str) -> None:
    forge(encoder, CONFIG, text.encode("latin-1"))
    with pytest.raises(SavingError) as caught:
        saving.load(encoder)
    assert str(encoder) in str(caught.value)


@pytest.mark.parametrize("where", ["/etc", "memory://x", "a\0b", "C:/x"])
def test_a_link_can_only_lead_to_a_relative_folder(encoder: Path, where: str) -> None:
    forge(encoder, CONFIG, b"!parts:Head {size: 1, encoder: !@ stage9.model}\n")
    forge(encoder, "links.json", json.dumps({"!@ stage9.model": {"save": where, "steps": ""}}).encode())
    with pytest.raises(SavingError) as caught:
        saving.load(encoder)
    assert str(caught.value) == f"{encoder}/links.json: {where!r} is no relative path"


def test_saves_that_need_each_other_are_refused(encoder: Path) -> None:
    forge(encoder, CONFIG, b"!parts:Head {size: 1, encoder: !@ stage9.model}\n")
    forge(encoder, "links.json", json.dumps({"!@ stage9.model": {"save": ".", "steps": ""}}).encode())
    with pytest.raises(SavingError) as caught:
        saving.load(encoder)
    assert str(caught.value) == f"{encoder} needs itself to be loaded: {encoder} needs {encoder}"


def test_another_format_is_refused(encoder: Path) -> None:
    import hashlib

    seal = json.loads((encoder / SEAL).read_bytes())
    del seal["seal"]
    seal["format"] = 2
    digest = hashlib.sha256(json.dumps(seal, sort_keys=True).encode()).hexdigest()
    (encoder / SEAL).write_text(json.dumps({**seal, "seal": digest}))
    with pytest.raises(SavingError) as caught:
        saving.load(encoder)
    assert str(caught.value) == f"{encoder} was saved in format 2, this Flambé reads format 1"


@pytest.mark.parametrize(
    "text", ["", "[1]", "[]", '{"a": 1}', '{"!@ stage9.model": {"part": ".", "steps": "["}}']
)
def test_links_that_nobody_wrote_are_refused(encoder: Path, text: str) -> None:
    forge(encoder, CONFIG, b"!parts:Head {size: 1, encoder: !@ stage9.model}\n")
    forge(encoder, "links.json", text.encode())
    with pytest.raises(SavingError) as caught:
        saving.load(encoder)
    assert str(caught.value).startswith(f"{encoder}")


def test_a_seal_that_is_nested_without_end_is_refused(encoder: Path) -> None:
    (encoder / SEAL).write_bytes(b"[" * 100_000)
    with pytest.raises(DamagedSaveError) as caught:
        saving.load(encoder)
    assert str(caught.value).startswith(f"{encoder / SEAL} was altered")


@pytest.mark.parametrize("text", ["[1]", '{"a": 3}', "[" * 100_000], ids=["list", "number", "deep"])
def test_links_that_nobody_wrote_are_not_copied_along(encoder: Path, tmp_path: Path, text: str) -> None:
    forge(encoder, "links.json", text.encode())
    with pytest.raises(DamagedSaveError) as caught:
        saving.copy_save(str(encoder.parent), encoder.name, str(tmp_path / "copy"))
    assert str(caught.value) == f"{encoder / 'links.json'} is no file that Flambé wrote"
