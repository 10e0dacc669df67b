"""What a second run reuses, continues and does again."""

import json
import shutil
from pathlib import Path

import pytest

from flambe.errors import DamagedSaveError, JournalError, OutputLockedError, RunError, SavingError
from flambe.experiment.ingredients import Update
from flambe.experiment.session import Outcome
from flambe.storage.storage import open_storage

PIPELINE = """
pipeline:
  base: !my.Counted {{value: {value}, diary: {folder}/diary}}
  walk: !my.Walk
    stride: !g {strides}
    steps: !@ base.value
  apart: !my.Walk
    stride: {apart}
  report: !my.Report
    walk: !@ walk
    place: !@ walk.place
reduce: {{walk: 1}}
"""


@pytest.fixture
def config(tmp_path: Path):
    def config(value: int = 3, strides: str = "[1.0, 2.0]", apart: float = 1.0) -> str:
        return PIPELINE.format(value=value, strides=strides, apart=apart, folder=tmp_path)

    return config


def done_again(outcome: Outcome) -> set[str]:
    return {key.stage for key in outcome.records if key not in outcome.reused}


def table(outcome: Outcome) -> dict[tuple[str, str], object]:
    return {key: (record.status, record.metric, record.step) for key, record in outcome.records.items()}


def test_a_finished_run_is_reused_whole(run, config, tmp_path: Path) -> None:
    first = run(config())
    updates: list[Update] = []
    again = run(config(), resume=True, observe=updates.append)
    assert done_again(again) == set()
    assert table(again) == table(first)
    assert {update.change for update in updates} == {"expanded", "reused"}
    assert (tmp_path / "diary").read_text() == "3\n"


def test_a_changed_stage_runs_again_with_what_depends_on_it_and_nothing_else(run, config) -> None:
    run(config())
    assert done_again(run(config(apart=2.0), resume=True)) == {"apart"}
    assert done_again(run(config(strides="[1.0, 2.0, 4.0]", apart=2.0), resume=True)) <= {"walk", "report"}
    assert done_again(run(config(value=4, strides="[1.0, 2.0, 4.0]", apart=2.0), resume=True)) == {
        "base",
        "walk",
        "report",
    }


def test_a_new_option_leaves_the_finished_variants_alone(run, config) -> None:
    run(config())
    again = run(config(strides="[1.0, 2.0, 0.1]"), resume=True)
    new = {key.variant.split("~")[0] for key in again.records if key not in again.reused}
    assert new == {"stride=0.1"}


def test_resume_as_a_key_of_the_config(run, config) -> None:
    run(config())
    assert done_again(run(config() + "resume: true")) == set()


def test_resume_with_a_stage_keeps_it_even_if_it_changed(run, config) -> None:
    run(config())
    again = run(config(value=4) + "resume: walk")
    assert done_again(again) == {"base"}


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_a_kept_stage_is_brought_back_when_what_it_builds_on_has_run_again(run, config, backend: str) -> None:
    run(config())
    more = "  extra: {walk: !@ walk.place}\nresume: [walk]\nreduce:"
    outcome = run(config(value=4).replace("reduce:", more), backend=backend)
    assert outcome.exit_code == 0
    assert done_again(outcome) == {"base", "extra"}


def test_parts_that_are_one_object_no_more_are_built_again(run) -> None:
    text = "pipeline: {{count: !my.Steps {{first: &first {{}}, second: {second}}}}}"
    [together] = run(text.format(second="*first")).records.values()
    [apart] = run(text.format(second="{}"), resume=True).records.values()
    assert (together.metric, apart.metric) == (1.0, 0.0)


def test_a_stage_without_state_is_built_again_for_what_links_to_it(run, config, tmp_path: Path) -> None:
    run(config())
    run(config(strides="[5.0]"), resume=True)
    assert (tmp_path / "diary").read_text() == "3\n3\n"


def test_resume_without_results_is_a_new_run(run, config) -> None:
    assert run(config(), resume=True).exit_code == 0


def test_what_failed_is_tried_again(run, tmp_path: Path) -> None:
    text = f"max_failures: 0\npipeline: {{try: !my.Faulty {{at: 2, once: {tmp_path}/tried}}}}"
    assert run(text).exit_code == 1
    again = run(text, resume=True)
    assert again.exit_code == 0
    [record] = again.records.values()
    assert record.step == 4


def test_an_interrupted_trial_goes_on_from_its_checkpoint(run, tmp_path: Path) -> None:
    text = "pipeline: {walk: !my.Walk {steps: 6, seconds: 0.02}}"
    undisturbed = run(text)
    shutil.rmtree(tmp_path / "out")
    left = run(text, observe=_stop_after(step=3))
    assert left.exit_code == 130
    [record] = left.records.values()
    assert (record.status, record.step) == ("paused", 3)
    again = run(text, resume=True)
    assert table(again) == table(undisturbed)
    lines = (tmp_path / "out/output__test/walk/default/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def _stop_after(step: int):
    import os
    import signal

    def observe(update) -> None:
        if update.change == "stepped" and update.record.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return observe


def test_metrics_after_the_checkpoint_are_not_kept_twice(run, tmp_path: Path) -> None:
    """A trial that failed between two checkpoints logs the steps in between again."""
    outcome = run(f"pipeline: {{try: !my.Faulty {{at: 3, once: {tmp_path}/tried}}}}")
    [record] = outcome.records.values()
    assert (record.status, record.attempts) == ("done", 2)
    lines = (tmp_path / "out/output__test/try/default/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["trial_step"] for line in lines] == [1, 2, 3, 4]


def test_a_second_run_on_the_same_folder_is_refused(run, config, tmp_path: Path) -> None:
    run(config())
    before = _bytes_of(tmp_path / "out")
    lock = open_storage(tmp_path / "out/output__test").lock()
    with lock, pytest.raises(OutputLockedError, match="is in use by process"):
        run(config(), resume=True)
    assert _bytes_of(tmp_path / "out") == before


def test_a_damaged_journal_is_named(run, config, tmp_path: Path) -> None:
    run(config())
    journal = tmp_path / "out/output__test/journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"trial", b"trail")
    journal.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError) as raised:
        run(config(), resume=True)
    assert str(raised.value) == (
        f"{journal}:3: this line is damaged (its checksum does not fit); "
        "restore the file from a copy, or start over with --force"
    )


def test_a_journal_that_was_cut_short_goes_on_from_its_last_whole_line(run, config, tmp_path: Path) -> None:
    first = run(config())
    journal = tmp_path / "out/output__test/journal.jsonl"
    data = journal.read_bytes()
    for cut in range(len(data) - 1, len(data) - 900, -90):
        journal.write_bytes(data[:cut])
        assert table(run(config(), resume=True)) == table(first)


@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
def test_a_save_that_was_altered_is_refused_by_name(run, config, tmp_path: Path, damage: str) -> None:
    outcome = run(config())
    [best] = outcome.chosen["walk"]
    state = tmp_path / "out/output__test/walk" / best / "state.json"
    data = state.read_bytes()
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes(data[:-3] if damage == "cut" else data[:9] + bytes([data[9] ^ 1]) + data[10:])
    with pytest.raises(DamagedSaveError, match=str(state).replace("+", ".")):
        run(config(), resume=True)
    if damage != "gone":
        assert state.read_bytes() != data


def test_a_folder_that_no_run_wrote_is_never_cleared(run, config, tmp_path: Path) -> None:
    folder = tmp_path / "out/output__test"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(RunError, match="holds files that no run wrote"):
            run(config(), force=force)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_cannot_be_written_is_named(run, config, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(SavingError, match=str(tmp_path / "out")):
        run(config())


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_what_a_power_cut_may_have_taken_runs_again(run, config, tmp_path: Path) -> None:
    """Finished, but not yet noted as safe on the disk: damage there is no reason to stop."""
    first = run(config())
    journal = tmp_path / "out/output__test/journal.jsonl"
    events = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(event for event in events if b'"event": "safe"' not in event))
    [best] = first.chosen["walk"]
    state = tmp_path / "out/output__test/walk" / best / "state.json"
    state.write_bytes(b"")
    again = run(config(), resume=True)
    assert table(again) == table(first)
    assert {key.variant for key in again.records if key not in again.reused} == {best}
    assert state.read_bytes() != b""


CHAIN = """
pipeline:
  a: !my.Walk {{steps: 2}}
  b: !my.Report {{walk: !@ a, place: !@ a.place}}
  c: {{walk: !@ b.walk, n: !g {n}}}
  d: {{walk: !@ a, c: !@ c.n}}
"""


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_values_of_a_chain_of_finished_stages_are_brought_back(run, backend: str) -> None:
    """What a new variant links to is loaded, and so is what that was built from."""
    assert run(CHAIN.format(n="[1]")).exit_code == 0
    again = run(CHAIN.format(n="[1, 2]"), resume=True, backend=backend)
    assert again.exit_code == 0
    new = sorted((key.stage, key.variant.split("~")[0]) for key in again.records if key not in again.reused)
    assert new == [("c", "n=2"), ("d", "n=2")]


def test_a_finished_stage_that_cannot_be_loaded_stops_only_what_links_to_it(run, tmp_path: Path) -> None:
    text = """
pipeline:
  data: !my.Once {{mark: {mark}}}
  use: {{data: !@ data.value, n: !g {n}}}
  apart: {{n: !g {n}}}
"""
    assert run(text.format(mark=tmp_path / "mark", n="[1]")).exit_code == 0
    again = run(text.format(mark=tmp_path / "mark", n="[1, 2]"), resume=True)
    assert again.exit_code == 1
    assert again.problems == ("data/default could not be loaded: RuntimeError: only once",)
    statuses = {(key.stage, key.variant.split("~")[0]): r.status for key, r in again.records.items()}
    assert statuses == {
        ("data", "default"): "done",
        ("use", "n=1"): "done",
        ("use", "n=2"): "failed",
        ("apart", "n=1"): "done",
        ("apart", "n=2"): "done",
    }


def test_a_finished_trial_whose_files_a_kill_left_behind_is_settled(run, tmp_path: Path) -> None:
    """Killed after the journal said finished, before `trial.json` did and the checkpoints were dropped."""
    text = "pipeline: {walk: !my.Walk {steps: 2}}"
    run(text)
    folder = tmp_path / "out/output__test/walk/default"
    finished = (folder / "trial.json").read_bytes()
    (folder / "trial.json").write_bytes(finished.replace(b'"done"', b'"running"'))
    (folder / ".checkpoints/000000001").mkdir(parents=True)
    run(text, resume=True)
    assert (folder / "trial.json").read_bytes() == finished
    assert not (folder / ".checkpoints").exists()
