"""A trial's checkpoints and its finished object."""

from __future__ import annotations

import shutil

import parts
import pytest
from saved_run import Run

import flambe
from flambe.errors import DamagedSaveError
from flambe.saving import trial_folder
from flambe.saving.trial_folder import CHECKPOINTS, TrialFolder

MODEL = "!p.Model\nencoder: !p.Encoder {size: 2}\nlayers: [!p.Encoder {size: 1}]\n"


@pytest.fixture
def trial(run: Run) -> TrialFolder:
    run.build("stage1", MODEL)
    return run.trial("stage1")


def checkpoints(run: Run) -> list[str]:
    folder = run.folder_of("stage1") / CHECKPOINTS
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def trained(run: Run, seen: int) -> parts.Model:
    made: parts.Model = run.build("stage1", MODEL)
    made.encoder.seen, made.layers[0].seen = seen, 2 * seen
    return made


def test_without_a_checkpoint_there_is_nothing_to_load(run: Run, trial: TrialFolder) -> None:
    assert trial.load_checkpoint(run.stages["stage1"]) is None


def test_the_newest_checkpoint_is_loaded(run: Run, trial: TrialFolder) -> None:
    for step in (1, 2, 10):
        trial.write_checkpoint(trained(run, step), step=step, extra={"random": [step]})
    assert checkpoints(run) == ["000000010"]
    fresh = run.build("stage1", MODEL)
    assert run.trial("stage1").load_checkpoint(fresh) == (10, {"random": [10]})
    assert (fresh.encoder.seen, fresh.layers[0].seen) == (10, 20)


def test_a_stage_without_state_begins_anew(run: Run) -> None:
    plain = run.build("stage1", "!p.Plain {value: 1}\n")
    run.trial("stage1").write_checkpoint(plain, step=3, extra={})
    assert run.trial("stage1").load_checkpoint(plain) is None


def test_a_checkpoint_holds_only_state(run: Run, trial: TrialFolder) -> None:
    trial.write_checkpoint(trained(run, 1), step=1, extra={})
    folder = run.folder_of("stage1") / CHECKPOINTS / "000000001"
    part = ["checksums.json", "state-0.npy", "state.json"]
    expected = [
        "checksums.json",
        "progress.json",
        *(f"{f}/{n}" for f in ("encoder", "layers/0") for n in part),
    ]
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == sorted(expected)


def test_one_that_a_kill_left_unfinished_does_not_count(run: Run, trial: TrialFolder) -> None:
    trial.write_checkpoint(trained(run, 1), step=1, extra={})
    folder = run.folder_of("stage1") / CHECKPOINTS
    shutil.copytree(folder / "000000001", folder / "000000002")
    (folder / "000000002" / "checksums.json").unlink()
    assert trial.load_checkpoint(run.stages["stage1"]) == (1, {})


def test_the_synced_one_stays_until_another_is_synced(
    run: Run, trial: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(step: int, sync_seconds: float) -> list[str]:
        monkeypatch.setattr(trial_folder, "SYNC_SECONDS", sync_seconds)
        trial.write_checkpoint(trained(run, step), step=step, extra={})
        return checkpoints(run)

    assert write(1, 0) == ["000000001"]
    assert write(2, 99) == ["000000001", "000000002"]
    assert write(3, 99) == ["000000001", "000000003"]
    assert write(4, 0) == ["000000004"]


def test_a_damaged_one_is_skipped_where_an_earlier_is_whole(
    run: Run, trial: TrialFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trial_folder, "SYNC_SECONDS", 0)
    trial.write_checkpoint(trained(run, 1), step=1, extra={})
    monkeypatch.setattr(trial_folder, "SYNC_SECONDS", 99)
    trial.write_checkpoint(trained(run, 2), step=2, extra={})
    damaged = run.folder_of("stage1") / CHECKPOINTS / "000000002" / "layers" / "0" / "state.json"
    record = damaged.read_bytes()
    damaged.write_bytes(b"{}")
    assert trial.load_checkpoint(run.stages["stage1"]) == (1, {})
    assert caplog.messages == [
        f"{damaged} was cut short (it has 2 bytes instead of {len(record)}); restore it from a copy, or save "
        "again; looking for an earlier checkpoint"
    ]


def test_when_all_are_damaged_the_file_is_named(run: Run, trial: TrialFolder) -> None:
    trial.write_checkpoint(trained(run, 2), step=2, extra={})
    folder = run.folder_of("stage1") / CHECKPOINTS
    damaged = folder / "000000002" / "progress.json"
    damaged.unlink()
    with pytest.raises(DamagedSaveError) as caught:
        trial.load_checkpoint(run.stages["stage1"])
    assert str(caught.value) == (
        f"{damaged} is missing; restore it from a copy, or save again; "
        f"or remove {folder} to start the trial anew"
    )


def test_the_finished_object_stands_beside_checkpoints(run: Run, trial: TrialFolder) -> None:
    trial.write_checkpoint(trained(run, 1), step=1, extra={})
    trial.write_finished(trained(run, 2))
    assert checkpoints(run) == ["000000001"]
    fresh = run.build("stage1", MODEL)
    run.trial("stage1").load_finished(fresh)
    assert (fresh.encoder.seen, fresh.layers[0].seen) == (2, 4)


def test_a_finished_object_that_is_not_there_is_named(run: Run, trial: TrialFolder) -> None:
    with pytest.raises(DamagedSaveError) as caught:
        trial.load_finished(run.stages["stage1"])
    assert str(caught.value) == (
        f"{run.folder_of('stage1')} holds no finished save: it has no checksums.json; "
        "remove the folder to run the trial again"
    )


@pytest.mark.parametrize(
    "text",
    ["a: 1\nb: [x]\n", "first: !p.Encoder {size: 1}\nrest: [!p.Encoder {size: 2}]\n", "!p.total [1, 2]\n"],
)
def test_a_stage_can_be_any_value(run: Run, text: str) -> None:
    made = run.build("stage1", text)
    if "first" in text:
        made["first"].seen, made["rest"][0].seen = 3, 4
    run.trial("stage1").write_checkpoint(made, step=1, extra={})
    run.trial("stage1").write_finished(made)
    fresh = run.build("stage1", text)
    run.trial("stage1").load_finished(fresh)
    if "first" in text:
        assert (fresh["first"].seen, fresh["rest"][0].seen) == (3, 4)
        assert (run.folder_of("stage1") / "rest" / "0" / "state.json").exists()


@pytest.mark.parametrize("text", ["3\n", "'3'\n", "hello\n", "null\n", "[]\n", "[1, {a: [2]}]\n", "{}\n"])
def test_a_stage_that_is_a_plain_value_is_loaded_from_its_folder(run: Run, text: str) -> None:
    made = run.finish("stage1", text)
    assert flambe.load(run.folder_of("stage1"), registry=run.registry) == made


def test_a_list_of_objects_is_loaded_from_its_folder(run: Run) -> None:
    def see(made: list[parts.Encoder]) -> None:
        made[0].seen = 3

    run.finish("stage1", "[!p.Encoder {size: 1}, !@ 'stage1[0]']\n", see)
    first, again = flambe.load(run.folder_of("stage1"), registry=run.registry)
    assert first is again
    assert first.seen == 3


@pytest.mark.parametrize("link", ["!@ stage0", "!@ stage0.encoder"])
def test_a_stage_that_is_only_a_link_is_loaded_from_the_folder_it_leads_to(run: Run, link: str) -> None:
    def see(made: parts.Model) -> None:
        made.encoder.seen = 3

    run.finish("stage0", MODEL, see)
    run.finish("stage1", f"{link}\n")
    loaded = flambe.load(run.folder_of("stage1"), registry=run.registry)
    assert getattr(loaded, "encoder", loaded).seen == 3


def test_an_object_of_another_stage_is_not_stored_again(run: Run) -> None:
    run.finish("stage0", "!p.Encoder {size: 1}\n")
    run.build("stage1", "inner: !@ stage0\nown: !p.Encoder {size: 2}\n")
    run.trial("stage1").write_finished(run.stages["stage1"])
    assert not (run.folder_of("stage1") / "inner").exists()
    assert (run.folder_of("stage1") / "own" / "state.json").exists()


def test_a_folder_in_memory_works_the_same(run: Run) -> None:
    made = run.build("stage1", MODEL)
    made.encoder.seen = 3
    trial = TrialFolder("memory://trial_folder/stage1/v", run.registry, node=run.nodes["stage1"])
    trial.write_checkpoint(made, step=1, extra={})
    fresh = run.build("stage1", MODEL)
    assert trial.load_checkpoint(fresh) == (1, {})
    assert fresh.encoder.seen == 3
    trial.write_finished(made)
    trial.load_finished(run.build("stage1", MODEL))
