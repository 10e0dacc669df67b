"""Links in saved configs: kept as written, followed when a folder is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import parts
import pytest
from saved_run import Run

from flambe import saving
from flambe.component import origin_of
from flambe.errors import SavingError
from flambe.language.read import read_text

DATA = "!p.Data {count: 3}\n"
MODEL = """
!p.Model
encoder: !p.Encoder {size: !call {target: stage0.sized, args: [2]}}
heads:
  first: !p.Head {size: !@ stage1.encoder.width}
  second: !@ stage1.heads.first
  labels: !@ stage0.labels
layers:
  - !p.Head {size: !@ stage0.labels, encoder: !@ stage1.encoder}
matrix: !@ stage0.vectors
"""

ENCODER_AND_HEAD = """
!p.Model
encoder: !p.Encoder {size: 2}
heads: !p.Head {size: 1, encoder: !@ stage1.encoder}
"""


def links(folder: Path) -> object:
    return json.loads((folder / "links.json").read_text())


@pytest.fixture
def model(run: Run) -> Path:
    def train(made: parts.Model) -> None:
        made.encoder.seen = 5

    run.finish("stage0", DATA)
    run.finish("stage1", MODEL, train)
    return run.folder_of("stage1")


def test_the_loaded_object_shares_what_the_config_shares(model: Path) -> None:
    loaded = saving.load(model)
    assert (loaded.encoder.size, loaded.encoder.seen) == (6, 5)
    assert loaded.layers[0].encoder is loaded.encoder
    assert loaded.heads["second"] is loaded.heads["first"]
    assert loaded.heads["first"].size == 12
    assert loaded.heads["labels"] == ["a", "b", "c"]
    assert loaded.matrix.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_links_come_back_as_links(run: Run, model: Path) -> None:
    origin = origin_of(saving.load(model))
    assert origin is not None
    assert origin.node == run.nodes["stage1"]
    assert str(origin.path) == "stage1"
    assert read_text((model / "config.yaml").read_text()).root == run.nodes["stage1"]


def test_the_header_names_the_modules_that_tags_need(model: Path) -> None:
    first = (model / "encoder" / "config.yaml").read_text()
    assert first == "p: parts\n---\n!p.Encoder\nsize: !call\n  target: stage0.sized\n  args: [2]\n"


def test_what_links_meant_is_written_beside(model: Path) -> None:
    stage0 = "../../../../stage0/default"
    assert links(model / "layers" / "0") == {
        "!@ stage0.labels": {"save": stage0, "steps": ".labels", "value": ["a", "b", "c"]},
        "!@ stage1.encoder": {"part": "../../encoder", "steps": ""},
    }
    assert links(model / "heads" / "first") == {
        "!@ stage1.encoder.width": {"part": "../../encoder", "steps": ".width", "value": 12}
    }
    assert np.load(model / "link-0.npy", allow_pickle=False).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_part_alone_takes_plain_values_from_its_own_folder(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model / "heads" / "first", tmp_path / "alone")
    shutil.copytree(model / "encoder", tmp_path / "encoder")
    assert saving.load(tmp_path / "alone").size == 12
    assert saving.load(tmp_path / "encoder").seen == 5


def test_a_part_alone_takes_another_part_of_its_save_along(model: Path) -> None:
    assert saving.load(model / "layers" / "0").encoder.seen == 5


def test_an_object_of_another_stage_is_loaded_from_its_folder(run: Run, model: Path) -> None:
    def change(made: parts.Head) -> None:
        assert isinstance(made.encoder, parts.Encoder)

    run.finish("stage2", "!p.Model\nencoder: !@ stage1.encoder\nheads: !@ stage0.rows\n", change)
    loaded = saving.load(run.folder_of("stage2"))
    assert loaded.encoder.seen == 5
    assert len(loaded.heads) == 3
    assert not (run.folder_of("stage2") / "encoder").exists()


def test_a_stage_that_is_gone_is_named_and_parts_load_without_it(run: Run, model: Path) -> None:
    encoder = "!p.Encoder {size: !call {target: stage0.sized, args: [1]}}"
    text = f"!p.Model\nencoder: {encoder}\nheads: !@ stage0.rows\n"
    run.finish("stage2", text)
    folder = run.folder_of("stage2")
    shutil.rmtree(run.folder_of("stage0"))
    with pytest.raises(SavingError) as caught:
        saving.load(folder)
    assert str(caught.value) == (
        f"{folder}: !@ stage0.rows leads to {run.folder_of('stage0')}, where there is no save; "
        "bring that folder back, or load a part that does not need it"
    )
    assert saving.load(folder / "encoder").size == 3


def test_a_run_that_was_moved_loads(run: Run, model: Path, tmp_path: Path) -> None:
    run.finish("stage2", "!p.Model\nencoder: !@ stage1.encoder\nheads: !@ stage0.rows\n")
    run.folder.rename(tmp_path / "moved")
    assert saving.load(tmp_path / "moved" / "stage2" / "default").encoder.seen == 5


def test_objects_of_foreign_classes_are_saved_where_a_config_built_them(run: Run) -> None:
    run.finish(
        "stage1", "!p.Plain {value: !p.Encoder {size: 2}}\n", lambda made: setattr(made.value, "seen", 3)
    )
    folder = run.folder_of("stage1")
    loaded = saving.load(folder, trust=["parts"])
    assert (type(loaded).__name__, loaded.value.seen) == ("Plain", 3)


def test_arguments_by_position_and_factories(run: Run) -> None:
    text = "!p.Model\nencoder: !p.Encoder [3, 0.5]\nheads: !p.Data.small\nlayers: [!p.Head 4]\n"
    run.finish("stage1", text, lambda made: setattr(made.encoder, "seen", 2))
    loaded = saving.load(run.folder_of("stage1"))
    assert (loaded.encoder.size, loaded.encoder.scale, loaded.encoder.seen) == (3, 0.5, 2)
    assert (len(loaded.heads.rows), loaded.layers[0].size) == (2, 4)
    encoder = saving.load(run.folder_of("stage1") / "encoder")
    assert (encoder.scale, encoder.seen) == (0.5, 2)


@pytest.mark.parametrize(
    "text",
    [
        "!p.Dictionary {path: PATH, lower: true}",
        "!p.Dictionary.of_file {path: PATH}",
        "!p.Dictionary.of_file PATH",
        "!p.Dictionary [PATH]",
        "!p.Model {encoder: !p.Dictionary.of_file PATH}",
    ],
)
def test_arguments_that_the_object_wants_saved_are_given_when_it_is_loaded(
    run: Run, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "words.txt"
    path.write_text("who what")
    run.finish("stage0", text.replace("PATH", str(path)))
    path.unlink()
    loaded = saving.load(run.folder_of("stage0"))
    found = getattr(loaded, "encoder", loaded)
    assert (found.path, found.words) == (str(path), ["who", "what"])
    saving.save(loaded, tmp_path / "again")
    again = saving.load(tmp_path / "again")
    assert getattr(again, "encoder", again).words == ["who", "what"]


def test_what_a_function_made_is_made_again(run: Run) -> None:
    run.finish("stage0", DATA)
    run.finish("stage1", "!p.Head {size: !p.total [1, !call {target: stage0.sized, args: [1]}, 2]}\n")
    loaded = saving.load(run.folder_of("stage1"), trust=["parts"])
    assert loaded.size == 6


def test_a_config_built_object_is_saved_by_python_too(run: Run, tmp_path: Path) -> None:
    run.finish("stage0", DATA)
    made = run.build("stage1", "!p.Model\nencoder: !p.Encoder {size: 2}\nheads: [!@ stage1.encoder]\n")
    made.encoder.seen = 8
    saving.save(made, tmp_path / "s")
    loaded = saving.load(tmp_path / "s")
    assert loaded.encoder.seen == 8
    assert loaded.heads[0] is loaded.encoder
    saving.save(made.encoder, tmp_path / "e")
    assert saving.load(tmp_path / "e").seen == 8
    outer = parts.Model(made, layers=[made.encoder])
    saving.save(outer, tmp_path / "outer")
    again = saving.load(tmp_path / "outer")
    assert again.encoder.heads[0] is again.encoder.encoder is again.layers[0]
    assert again.encoder.encoder.seen == 8


def test_environment_and_secrets_are_read_anew_and_never_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAVING_TEST", "hush")
    run.finish("stage1", "!p.Model {encoder: !env SAVING_TEST, heads: [!env SAVING_TEST]}\n")
    folder = run.folder_of("stage1")
    assert all(b"hush" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    monkeypatch.setenv("SAVING_TEST", "anew")
    assert saving.load(folder).encoder == "anew"


def test_parts_of_one_stage_put_together_in_python_stay_shared(run: Run, tmp_path: Path) -> None:
    made = run.build("stage1", ENCODER_AND_HEAD)
    saving.save(parts.Model(made.encoder, layers=[made.heads]), tmp_path / "s")
    loaded = saving.load(tmp_path / "s")
    assert loaded.layers[0].encoder is loaded.encoder
