"""Saving and loading objects that Python code built."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest

from flambe import saving
from flambe.errors import MissingFileError, SavingError, VersionError
from flambe.storage.storage import open_storage


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def model() -> parts.Model:
    made = parts.Model(
        parts.Encoder(3, scale=0.5),
        heads={"a.b": parts.Head(4)},
        layers=[parts.Encoder(1), parts.Encoder(2)],
        matrix=np.arange(6).reshape(2, 3),
    )
    made.encoder.seen, made.layers[1].seen = 7, 9
    made.notes.append("trained")
    return made


def test_each_part_has_a_folder_named_by_its_argument(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "s")
    encoder = ["checksums.json", "config.yaml", "state-0.npy", "state.json", "version.txt"]
    head = ["checksums.json", "config.yaml", "version.txt"]
    expected = [f"{folder}/{name}" for folder in ("encoder", "layers/0", "layers/1") for name in encoder]
    expected += [f"heads/a%2Eb/{name}" for name in head]
    expected += [*head, "state.json", "links.json", "link-0.npy"]
    assert tree(tmp_path / "s") == sorted(expected)


def test_a_folder_says_what_it_holds(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "s")
    folder = tmp_path / "s" / "encoder"
    assert (folder / "config.yaml").read_text() == "!parts:Encoder\nsize: 3\nscale: 0.5\n"
    assert (
        folder / "version.txt"
    ).read_text() == "class: parts:Encoder\nversion: 1.2.0\npath: this.encoder\nlinked: yes\n"
    assert (folder / "state.json").read_text() == '{"seen": 7, "weights": {"$array": "state-0.npy"}}\n'


def test_the_whole_and_every_part_load(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "s")
    loaded = saving.load(tmp_path / "s")
    assert (loaded.encoder.size, loaded.encoder.scale, loaded.encoder.seen) == (3, 0.5, 7)
    assert [layer.seen for layer in loaded.layers] == [0, 9]
    assert loaded.heads["a.b"].size == 4
    assert loaded.matrix.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded.notes == ["trained"]
    assert saving.load(tmp_path / "s" / "layers" / "1").seen == 9
    assert saving.load(tmp_path / "s" / "heads" / "a%2Eb").size == 4


def test_a_folder_copied_out_of_its_save_loads(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "s")
    (tmp_path / "s" / "encoder").rename(tmp_path / "elsewhere")
    assert saving.load(tmp_path / "elsewhere").seen == 7


def test_what_was_loaded_can_be_saved_again(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "a")
    saving.save(saving.load(tmp_path / "a"), tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    for name in tree(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_part_that_two_arguments_share_is_stored_once_and_stays_shared(tmp_path: Path) -> None:
    encoder = parts.Encoder(2)
    model = parts.Model(encoder, heads=[parts.Head(1, encoder), parts.Head(2, encoder)])
    encoder.seen = 4
    saving.save(model, tmp_path / "s")
    assert not (tmp_path / "s" / "heads" / "0" / "encoder").exists()
    loaded = saving.load(tmp_path / "s")
    assert loaded.heads[0].encoder is loaded.heads[1].encoder is loaded.encoder
    assert saving.load(tmp_path / "s" / "heads" / "1").encoder.seen == 4


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_a_url_will_do(tmp_path: Path, model: parts.Model, protocol: str) -> None:
    url = f"{protocol}://{tmp_path if protocol == 'file' else '/' + uuid.uuid4().hex}/s"
    saving.save(model, url)
    saving.save(model, url)
    assert saving.load(url).encoder.seen == 7
    assert saving.load(f"{url}/layers/1").seen == 9
    fresh = parts.Encoder(2)
    saving.load_state(fresh, f"{url}/layers/1")
    assert fresh.seen == 9


def test_a_save_replaces_an_earlier_one(tmp_path: Path, model: parts.Model) -> None:
    saving.save(model, tmp_path / "s")
    saving.save(parts.Encoder(5), tmp_path / "s")
    assert tree(tmp_path / "s") == [
        "checksums.json",
        "config.yaml",
        "state-0.npy",
        "state.json",
        "version.txt",
    ]
    assert saving.load(tmp_path / "s").size == 5


def test_files_that_are_no_save_are_never_overwritten(tmp_path: Path, model: parts.Model) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(SavingError) as caught:
        saving.save(model, tmp_path)
    assert str(caught.value) == f"{tmp_path} holds files that are no save; choose another folder"
    assert tree(tmp_path) == ["config.yaml"]


def test_notes_beside_an_earlier_save_stay(tmp_path: Path, model: parts.Model) -> None:
    saving.save(parts.Encoder(5), tmp_path / "s")
    (tmp_path / "s" / "README").write_text("mine")
    saving.save(model, tmp_path / "s")
    assert (tmp_path / "s" / "README").read_text() == "mine"
    assert saving.load(tmp_path / "s").encoder.seen == 7


def test_an_object_that_nobody_knows_how_to_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavingError) as caught:
        saving.save(parts.Plain(1), tmp_path / "s")
    assert str(caught.value) == (
        "a Plain cannot be saved by itself: only objects that a config built, or whose class inherits "
        "flambe.Component, are known well enough to be built again"
    )
    assert tree(tmp_path) == []


def test_a_class_that_cannot_be_found_again_is_refused(tmp_path: Path) -> None:
    class Local(parts.Encoder):
        pass

    with pytest.raises(SavingError) as caught:
        saving.save(Local(1), tmp_path / "s")
    assert str(caught.value).endswith(
        "Local cannot be found by name when the save is loaded; define the class at the top level of a module"
    )


def test_state_that_is_neither_plain_nor_an_array_is_named(tmp_path: Path) -> None:
    model = parts.Model(parts.Model(parts.Encoder(1)))
    model.encoder.notes = [{"deep": [1, object()]}]  # type: ignore[list-item]  # the mistake
    with pytest.raises(SavingError) as caught:
        saving.save(model, tmp_path / "s")
    assert str(caught.value) == (
        "state of encoder (Model): notes[0].deep[1] is of type object, which cannot be saved; "
        "use plain values (numbers, texts, lists, mappings) and arrays"
    )
    assert tree(tmp_path) == []


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    model = parts.Model(parts.Encoder(1))
    model.notes = [np.array([None, {}])]  # type: ignore[list-item]  # the mistake
    with pytest.raises(SavingError) as caught:
        saving.save(model, tmp_path / "s")
    assert str(caught.value) == (
        "state of Model: notes[0] is an array of Python objects, which cannot be saved; "
        "use plain values (numbers, texts, lists, mappings) and arrays"
    )


def test_an_argument_that_cannot_be_written_is_only_missed_on_load(tmp_path: Path) -> None:
    model = parts.Model(parts.Encoder(2), matrix=parts.Plain(1))
    model.encoder.seen = 3
    saving.save(model, tmp_path / "s")
    with pytest.raises(SavingError) as caught:
        saving.load(tmp_path / "s")
    assert str(caught.value) == (
        f"{tmp_path}/s: !@ values.matrix cannot be followed, it was a parts.Plain; "
        "build the object with its arguments and use flambe.load_state"
    )
    assert saving.load(tmp_path / "s" / "encoder").seen == 3
    fresh = parts.Model(parts.Encoder(2), matrix=parts.Plain(1))
    saving.load_state(fresh, tmp_path / "s")
    assert fresh.encoder.seen == 3


def test_a_place_without_a_save_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        saving.load(tmp_path / "s")
    assert str(caught.value) == f"{tmp_path}/s holds no finished save: it has no checksums.json"


class TestLoadState:
    def test_it_fills_an_object_and_its_parts(self, tmp_path: Path, model: parts.Model) -> None:
        saving.save(model, tmp_path / "s")
        fresh = parts.Model(
            parts.Encoder(3), heads={"a.b": parts.Head(9)}, layers=[parts.Encoder(1), parts.Encoder(2)]
        )
        saving.load_state(fresh, tmp_path / "s")
        assert (fresh.encoder.seen, fresh.layers[1].seen, fresh.notes) == (7, 9, ["trained"])
        assert fresh.heads["a.b"].size == 9

    def test_it_fills_a_part(self, tmp_path: Path, model: parts.Model) -> None:
        saving.save(model, tmp_path / "s")
        fresh = parts.Encoder(3)
        saving.load_state(fresh, tmp_path / "s" / "encoder")
        assert fresh.seen == 7

    def test_a_part_that_the_object_lacks_is_named(self, tmp_path: Path, model: parts.Model) -> None:
        saving.save(model, tmp_path / "s")
        with pytest.raises(SavingError) as caught:
            saving.load_state(parts.Model(parts.Encoder(3)), tmp_path / "s")
        expected = f"{tmp_path}/s holds the state of a part 'layers/0', which Model does not have"
        assert str(caught.value) == expected

    def test_an_object_without_the_method_is_named(self, tmp_path: Path, model: parts.Model) -> None:
        saving.save(parts.Encoder(3), tmp_path / "s")
        with pytest.raises(SavingError) as caught:
            saving.load_state(parts.Plain(1), tmp_path / "s")
        assert str(caught.value) == (
            f"state of Plain in {tmp_path}/s: Plain has no load_custom_state() to take its saved state"
        )


class TestVersions:
    def save(self, folder: Path, monkeypatch: pytest.MonkeyPatch, saved: Any, installed: Any) -> None:
        monkeypatch.setattr(parts.Encoder, "flambe_version", saved)
        saving.save(parts.Model(parts.Encoder(1)), folder)
        monkeypatch.setattr(parts.Encoder, "flambe_version", installed)

    def test_another_major_version_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.save(tmp_path / "s", monkeypatch, "1.2.0", "2.0.0")
        message = (
            f"{tmp_path}/s/encoder holds Encoder 1.2.0, but version 2.0.0 is installed; "
            "install a version 1.x, or save again"
        )
        with pytest.raises(VersionError) as caught:
            saving.load(tmp_path / "s")
        assert str(caught.value) == message
        with pytest.raises(VersionError) as caught:
            saving.load_state(parts.Model(parts.Encoder(1)), tmp_path / "s")
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("saved", "installed"), [("1.2.0", "1.3.1"), ("1.2.3", "1.2.0"), (None, "2.0.0"), ("1.0.0", None)]
    )
    def test_others_load_in_silence(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        saved: str | None,
        installed: str | None,
    ) -> None:
        self.save(tmp_path / "s", monkeypatch, saved, installed)
        assert saving.load(tmp_path / "s").encoder.size == 1
        assert caplog.messages == []

    def test_a_newer_minor_version_is_warned_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.save(tmp_path / "s", monkeypatch, "1.3.0", "1.2.0")
        with caplog.at_level(logging.WARNING, "flambe"):
            saving.load(tmp_path / "s")
        expected = f"{tmp_path}/s/encoder holds Encoder 1.3.0, newer than the installed 1.2.0"
        assert caplog.messages == [expected]

    def test_what_is_no_version_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SavingError) as caught:
            self.save(tmp_path / "s", monkeypatch, "new", None)
        assert str(caught.value) == "Encoder has the version 'new', which is no version such as '1.2.0'"


def test_a_save_in_the_memory_of_fsspec_can_be_listed(model: parts.Model) -> None:
    url = f"memory://{uuid.uuid4().hex}/s"
    saving.save(model, url)
    assert open_storage(url).list("layers") == ["0", "1"]


@pytest.mark.parametrize(
    "value",
    [
        "x\udcff.txt",
        {"x\udcff": 1},
        ["\ud800"],
        (1, (2.5, "a")),
        [{"sizes": (1, 2)}],
        [10**5000],
        {"a": [-(10**5000)]},
    ],
)
def test_an_argument_that_yaml_cannot_write_comes_back(tmp_path: Path, value: object) -> None:
    saving.save(parts.Model(parts.Encoder(1), heads=value), tmp_path / "s")
    loaded = saving.load(tmp_path / "s")
    assert loaded.heads == value
    saving.save(loaded, tmp_path / "again")
    assert saving.load(tmp_path / "again").heads == value


def test_a_tuple_beside_parts_comes_back(tmp_path: Path) -> None:
    saving.save(parts.Model(None, layers=[parts.Encoder(1), parts.Model(None, heads=(1, 2))]), tmp_path / "s")
    assert saving.load(tmp_path / "s").layers[1].heads == (1, 2)
    assert saving.load(tmp_path / "s" / "layers" / "1").heads == (1, 2)


def test_all_arguments_that_a_constructor_collects_come_back(tmp_path: Path) -> None:
    saving.save(parts.Stack(parts.Encoder(1), parts.Encoder(2), (3, 4)), tmp_path / "by_place")
    loaded = saving.load(tmp_path / "by_place")
    assert (loaded.first.size, loaded.others[0].size, loaded.others[1]) == (1, 2, (3, 4))
    assert loaded.options == {}
    assert saving.load(tmp_path / "by_place" / "1").size == 2
    saving.save(parts.Stack(1, depth=parts.Encoder(2)), tmp_path / "by_name")
    loaded = saving.load(tmp_path / "by_name")
    assert (loaded.first, loaded.others, loaded.options["depth"].size) == (1, (), 2)
    with pytest.raises(SavingError) as caught:
        saving.save(parts.Stack(1, 2, depth=3), tmp_path / "mixed")
    assert str(caught.value) == (
        "a Stack that was given arguments by position and 'depth' by name cannot be saved: after *args, a "
        "config has no place for names"
    )
