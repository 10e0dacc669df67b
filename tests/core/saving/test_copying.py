"""Copies of saves, and of parts, load where nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from saved_run import Run

from flambe import saving
from flambe.errors import SavingError

TWO = "!p.Model\nencoder: !p.Encoder {size: 2}\nheads: !p.Head {size: 1, encoder: !@ stage1.encoder}\n"
PART = "stage1/default/heads"


@pytest.fixture
def two(run: Run) -> Run:
    run.finish("stage1", TWO, lambda made: setattr(made.encoder, "seen", 5))
    return run


def seals(folder: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("checksums.json"))


def test_a_part_is_copied_with_the_part_beside_it_that_it_needs(two: Run, tmp_path: Path) -> None:
    copy = saving.copy_save(str(two.folder), PART, str(tmp_path / "copy"))
    shutil.rmtree(two.folder)
    assert copy == str(tmp_path / "copy" / PART)
    assert saving.load(copy).encoder.seen == 5
    assert seals(tmp_path / "copy") == ["stage1/default/encoder", PART]


def test_a_part_that_needs_no_other_is_the_copy_itself(two: Run, tmp_path: Path) -> None:
    copy = saving.copy_save(str(two.folder), "stage1/default/encoder", str(tmp_path / "copy"))
    shutil.rmtree(two.folder)
    assert copy == str(tmp_path / "copy")
    assert saving.load(copy).seen == 5


def test_a_whole_stage_needs_no_part_twice(two: Run, tmp_path: Path) -> None:
    copy = saving.copy_save(str(two.folder), "stage1/default", str(tmp_path / "copy"))
    assert copy == str(tmp_path / "copy")
    assert seals(tmp_path / "copy") == [".", "encoder", "heads"]


def test_a_part_takes_along_what_the_part_beside_it_needs(run: Run, tmp_path: Path) -> None:
    run.finish("stage0", "!p.Data {count: 3}\n")
    second = "!p.Model {encoder: !@ stage1.encoder}"
    first = "!p.Model {encoder: !@ stage0.rows}"
    run.finish("stage1", f"!p.Model\nencoder: {first}\nheads: {second}\nlayers: [!p.Encoder {{size: 1}}]\n")
    copy = saving.copy_save(str(run.folder), PART, str(tmp_path / "copy"))
    shutil.rmtree(run.folder)
    assert len(saving.load(copy).encoder.encoder) == 3
    assert seals(tmp_path / "copy") == ["stage0/default", "stage1/default/encoder", PART]


def test_a_part_that_needs_the_object_around_it_is_copied_with_it(run: Run, tmp_path: Path) -> None:
    head = "!p.Head {size: 1, encoder: !@ stage1.layers}"
    run.finish("stage1", f"!p.Model\nencoder: 1\nlayers: [!p.Encoder {{size: 2}}]\nheads: {head}\n")
    copy = saving.copy_save(str(run.folder), PART, str(tmp_path / "copy"))
    shutil.rmtree(run.folder)
    assert copy == str(tmp_path / "copy" / PART)
    assert saving.load(copy).encoder[0].size == 2
    assert seals(tmp_path / "copy") == ["stage1/default", PART, "stage1/default/layers/0"]


def test_a_part_beside_it_that_is_gone_is_named(two: Run, tmp_path: Path) -> None:
    folder = two.folder_of("stage1")
    shutil.rmtree(folder / "encoder")
    with pytest.raises(SavingError) as caught:
        saving.copy_save(str(two.folder), PART, str(tmp_path / "copy"))
    assert str(caught.value) == (
        f"{two.folder / PART} cannot be copied: {folder / 'encoder'} holds no finished save: "
        "it has no checksums.json"
    )


def test_a_part_whose_needs_lie_outside_is_refused_and_nothing_replaced(two: Run, tmp_path: Path) -> None:
    saving.copy_save(str(two.folder), "stage1/default/encoder", str(tmp_path / "copy"))
    with pytest.raises(SavingError) as caught:
        saving.copy_save(str(two.folder / PART), "", str(tmp_path / "copy"), replace=True)
    assert str(caught.value) == (
        f"{two.folder / PART}: !@ stage1.encoder leads to ../encoder, outside {two.folder / PART}; "
        "copy from a folder that holds both"
    )
    assert saving.load(tmp_path / "copy").seen == 5
