"""Links are followed as the run followed them, also where an attribute has the name of an argument."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import parts
import pytest
from saved_run import Run

from flambe import saving
from flambe.errors import DamagedSaveError
from flambe.saving.config import ConfigWriter
from flambe.saving.tree import MISSING

WRAPPED = "!p.Wrapped\nencoder: !p.Encoder {size: 3}\nhead: !p.Head {size: 1}\n"
COMPUTED = (
    "!p.Computed\nencoder: !p.Encoder {size: 3}\ntable: !p.Encoder {size: 4}\nhead: !p.Head {size: 1}\n"
)
MODEL = "!p.Model\nencoder: !p.Encoder {size: 3}\nheads: !p.Head {size: 1}\n"


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves are written without what earlier versions did not write."""
    monkeypatch.setattr(ConfigWriter, "is_linked", lambda *_: None)
    monkeypatch.setattr(ConfigWriter, "_value_outside", lambda *_: MISSING)


def links(folder: Path) -> Any:
    return json.loads((folder / "links.json").read_text())


def damage(folder: Path) -> None:
    """Nothing loads any more that needs this folder or one above it."""
    (folder / "config.yaml").write_text("!p.Head {size: 9}\n")
    with pytest.raises(DamagedSaveError):
        saving.load(folder.parent)


def finish(run: Run, stage1: str, stage2: str) -> Path:
    run.finish("stage1", stage1)
    run.finish("stage2", stage2)
    return run.folder_of("stage2")


def test_an_attribute_goes_before_the_argument_of_its_name(run: Run) -> None:
    folder = finish(run, WRAPPED, "!p.Model\nencoder: !@ stage1.encoder\nheads: !@ stage1.encoder.size\n")
    loaded = saving.load(folder)
    assert (type(loaded.encoder), loaded.encoder.size, loaded.heads) == (parts.Doubled, 6, 6)
    version = (run.folder_of("stage1") / "encoder" / "version.txt").read_text()
    assert version.endswith("path: stage1.encoder\nlinked: no\n")


def test_an_argument_that_is_meant_by_its_key_is_loaded(run: Run) -> None:
    loaded = saving.load(finish(run, WRAPPED, "!p.Model {encoder: !@ 'stage1[encoder]'}\n"))
    assert (type(loaded.encoder), loaded.encoder.size) == (parts.Encoder, 3)


@pytest.mark.parametrize("inner_first", [True, False])
def test_what_lies_inside_another_linked_object_is_shared_with_it(run: Run, inner_first: bool) -> None:
    first, second = ("stage1.encoder", "stage1") if inner_first else ("stage1", "stage1.encoder")
    loaded = saving.load(finish(run, MODEL, f"!p.Model\nencoder: !@ {first}\nheads: !@ {second}\n"))
    inner, outer = (loaded.encoder, loaded.heads) if inner_first else (loaded.heads, loaded.encoder)
    assert (type(inner), type(outer)) == (parts.Encoder, parts.Model)
    assert outer.encoder is inner


@pytest.mark.usefixtures("as_before")
def test_saves_of_earlier_versions_are_asked(run: Run) -> None:
    folder = finish(run, WRAPPED, "!p.Model\nencoder: !@ stage1.encoder\nheads: !@ stage1.head\n")
    other = {"save": "../../stage1/default"}
    assert links(folder) == {
        "!@ stage1.encoder": {**other, "steps": ".encoder"},
        "!@ stage1.head": {**other, "steps": ".head"},
    }
    assert "linked" not in (run.folder_of("stage1") / "head" / "version.txt").read_text()
    loaded = saving.load(folder)
    assert (type(loaded.encoder), loaded.encoder.size, loaded.heads.size) == (parts.Doubled, 6, 1)


def test_only_the_part_is_loaded_where_the_attribute_is_the_argument(run: Run) -> None:
    run.finish("stage1", MODEL, lambda made: setattr(made.encoder, "seen", 5))
    run.finish("stage2", "!p.Model {encoder: !@ stage1.encoder}\n")
    damage(run.folder_of("stage1") / "heads")
    assert saving.load(run.folder_of("stage2")).encoder.seen == 5


def test_only_the_part_is_loaded_for_an_object_inside_it(run: Run) -> None:
    stage1 = "!p.Model\nencoder: !p.Data {count: 3}\nheads: !p.Head {size: 1}\n"
    folder = finish(run, stage1, "!p.Model {encoder: !@ stage1.encoder.rows}\n")
    damage(run.folder_of("stage1") / "heads")
    assert len(saving.load(folder).encoder) == 3


def test_only_the_part_is_loaded_where_a_property_gave_the_argument(run: Run) -> None:
    folder = finish(run, COMPUTED, "!p.Model {encoder: !@ stage1.encoder}\n")
    assert links(folder)["!@ stage1.encoder"]["folder"] == "encoder"
    damage(run.folder_of("stage1") / "head")
    assert saving.load(folder).encoder.size == 3


def test_a_property_that_gives_something_else_is_asked_when_it_is_loaded(run: Run) -> None:
    folder = finish(run, COMPUTED, "!p.Model {encoder: !@ stage1.table}\n")
    loaded = saving.load(folder)
    assert (type(loaded.encoder), loaded.encoder.size) == (parts.Doubled, 8)


def test_no_property_is_asked_to_save_its_object(run: Run) -> None:
    assert run.finish("stage1", COMPUTED).asked == 0


def test_only_the_part_is_loaded_whose_method_is_called(run: Run) -> None:
    stage1 = COMPUTED.replace("!p.Encoder {size: 3}", "!p.Maker {count: 2}")
    folder = finish(run, stage1, "!p.Model {encoder: !call stage1.encoder.make}\n")
    damage(run.folder_of("stage1") / "head")
    assert len(saving.load(folder).encoder.rows) == 2


def test_an_object_that_refuses_every_question_is_saved(run: Run) -> None:
    folder = finish(run, "!p.Odd {encoder: !p.Encoder {size: 3}}\n", "!p.Model {encoder: !@ stage1.kept}\n")
    assert saving.load(folder).encoder.size == 3


class TestWithinAStage:
    def test_a_part_alone_takes_the_attribute_of_another(self, run: Run) -> None:
        text = "!p.Model\nencoder: !p.Wrapped {encoder: !p.Encoder {size: 3}}\n"
        run.finish("stage1", f"{text}heads: !p.Head {{size: 1, encoder: !@ stage1.encoder.encoder}}\n")
        folder = run.folder_of("stage1")
        assert links(folder / "heads") == {
            "!@ stage1.encoder.encoder": {"part": "../encoder", "steps": ".encoder"}
        }
        for head in (saving.load(folder / "heads"), saving.load(folder).heads):
            assert (type(head.encoder), head.encoder.size) == (parts.Doubled, 6)

    def test_a_part_alone_takes_the_argument_beside_it(self, run: Run) -> None:
        text = (
            "!p.Wrapped\nencoder: !p.Encoder {size: 3}\nhead: !p.Head {size: 1, encoder: !@ stage1.encoder}\n"
        )
        run.finish("stage1", text)
        folder = run.folder_of("stage1")
        assert links(folder / "head") == {"!@ stage1.encoder": {"part": "../encoder", "steps": ""}}
        for head in (saving.load(folder / "head"), saving.load(folder).head):
            assert (type(head.encoder), head.encoder.size) == (parts.Encoder, 3)

    def test_a_part_alone_takes_the_argument_beside_it_that_is_a_link(self, run: Run) -> None:
        head = "!p.Head {size: 1, encoder: !@ stage2.encoder}"
        folder = finish(run, MODEL, f"!p.Wrapped\nencoder: !@ stage1.encoder\nhead: {head}\n")
        damage(run.folder_of("stage1") / "heads")
        for made in (saving.load(folder / "head"), saving.load(folder).head):
            assert (type(made.encoder), made.encoder.size) == (parts.Encoder, 3)

    @pytest.mark.parametrize("given", ["encoder: [!p.Encoder {size: 3}]", "- [!p.Encoder {size: 3}]"])
    def test_a_part_alone_takes_a_list_beside_it(self, run: Run, given: str) -> None:
        head = "!p.Head {size: 1, encoder: !@ stage1.encoder}"
        run.finish("stage1", f"!p.Listed\n{given}\n{'-' if given[0] == '-' else 'head:'} {head}\n")
        folder = run.folder_of("stage1")
        for made in (saving.load(folder / ("1" if given[0] == "-" else "head")), saving.load(folder).head):
            assert [type(item) for item in made.encoder] == [parts.Encoder]

    def test_a_link_to_a_link_beside_it_leads_where_that_does(self, run: Run) -> None:
        layers = "layers: [!p.Head {size: 1, encoder: !@ stage2.heads.size}, !@ stage2.layers.0]\n"
        folder = finish(run, MODEL, f"!p.Model\nencoder: 1\nheads: !@ stage1.heads\n{layers}")
        assert saving.load(folder / "layers" / "0").encoder == 1


class TestInPython:
    def test_an_argument_that_two_share_stays_the_argument(self, tmp_path: Path) -> None:
        encoder = parts.Encoder(3)
        saving.save(parts.Model(parts.Wrapped(encoder), heads=[parts.Head(1, encoder)]), tmp_path / "s")
        config = (tmp_path / "s" / "heads" / "0" / "config.yaml").read_text()
        assert config == "!parts:Head\nsize: 1\nencoder: !@ this.encoder[encoder]\n"
        for folder in (tmp_path / "s", tmp_path / "again"):
            loaded = saving.load(folder)
            assert (type(loaded.heads[0].encoder), loaded.heads[0].encoder.size) == (parts.Encoder, 3)
            assert saving.load(folder / "heads" / "0").encoder.size == 3
            saving.save(loaded, tmp_path / "again")

    def test_parts_of_a_stage_put_together_stay_shared(self, run: Run, tmp_path: Path) -> None:
        text = (
            "!p.Model\nencoder: !p.Encoder {size: 3}\nheads: !p.Head {size: 1, encoder: !@ stage1.encoder}\n"
        )
        made = run.build("stage1", text)
        saving.save(parts.Model(parts.Wrapped(made.encoder), layers=[made.heads]), tmp_path / "s")
        assert saving.load(tmp_path / "s").layers[0].encoder.size == 3
        assert saving.load(tmp_path / "s" / "layers" / "0").encoder.size == 3
