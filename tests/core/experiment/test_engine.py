"""What runs, in which order, with what values, and what becomes of failures."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from flambe.errors import ConfigError, OutputExistsError, RunError
from flambe.experiment.session import Outcome
from flambe.trials.runner import one_line

WALKS = """
pipeline:
  base: 3
  walk: !my.Walk
    stride: !g [1.0, 2.0, 3.0]
    steps: !@ base
  report: !my.Report
    walk: !@ walk
    place: !@ walk.place
"""


def statuses(outcome: Outcome, stage: str) -> dict[str, str]:
    return {key.variant: record.status for key, record in outcome.records.items() if key.stage == stage}


def metrics(outcome: Outcome, stage: str) -> dict[str, float | None]:
    return {
        key.variant.split("~")[0]: record.metric
        for key, record in outcome.records.items()
        if key.stage == stage
    }


def test_each_variant_flows_through_the_stages_that_link_to_it(run) -> None:
    outcome = run(WALKS)
    assert outcome.exit_code == 0
    assert set(metrics(outcome, "report")) == {"stride=1.0", "stride=2.0", "stride=3.0"}
    walked = {name: 10.0 - metric for name, metric in metrics(outcome, "walk").items()}
    assert metrics(outcome, "report") == pytest.approx(walked)


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_a_link_that_leads_nowhere_fails_the_stage_that_has_it_alone(run, backend: str) -> None:
    lost = "  lost: !my.Report {walk: !@ walk, place: !@ walk.notes.rigth}\n"
    broken = "  broken: !my.Report {walk: !@ walk, place: !@ walk.torn}\n"
    outcome = run(WALKS + lost + broken, backend=backend)
    assert outcome.exit_code == 1
    for stage, expected in (("walk", "done"), ("report", "done"), ("lost", "failed"), ("broken", "failed")):
        assert set(statuses(outcome, stage).values()) == {expected}, stage
    why = {key.stage: record.error for key, record in outcome.records.items() if record.status == "failed"}
    assert why == {
        "lost": "walk.notes.rigth: walk.notes is a dict without item, attribute or argument 'rigth'; "
        "did you mean 'right'?",
        "broken": "walk.torn: ZeroDivisionError: division by zero",
    }


def test_an_argument_that_was_a_link_itself_is_not_kept_and_says_so(run) -> None:
    blind = "  blind: !my.Blind {walk: !@ walk}\n"
    outcome = run(WALKS + blind + "  late: !my.Report {walk: !@ walk, place: !@ blind.walk.place}\n")
    errors = {record.error for key, record in outcome.records.items() if key.stage == "late"}
    assert errors == {
        "blind.walk.place: blind is a Blind without item, attribute or argument 'walk'; "
        "its argument 'walk' is itself a link, so link to walk"
    }


def test_reduce_passes_on_the_best_with_lower_is_better(run) -> None:
    outcome = run(WALKS + "reduce: {walk: 1}")
    best = min(metrics(outcome, "walk"), key=lambda name: metrics(outcome, "walk")[name])
    assert list(metrics(outcome, "report")) == [best]
    assert [variant.split("~")[0] for variant in outcome.chosen["walk"]] == [best]


def test_a_rerun_gives_the_same_metrics_and_another_seed_gives_others(run) -> None:
    first = run(WALKS)
    again = run(WALKS, force=True)
    other = run(WALKS + "seed: 1", force=True)
    assert metrics(first, "walk") == metrics(again, "walk")
    assert metrics(first, "walk") != metrics(other, "walk")


def test_the_pool_gives_what_one_process_gives(run) -> None:
    assert metrics(run(WALKS), "report") == metrics(run(WALKS, force=True, backend="pool"), "report")


def test_results_are_never_overwritten_silently(run, tmp_path: Path) -> None:
    run(WALKS)
    before = (tmp_path / "out/output__test/journal.jsonl").read_bytes()
    with pytest.raises(OutputExistsError, match="go on with --resume, or delete them with --force"):
        run(WALKS)
    assert (tmp_path / "out/output__test/journal.jsonl").read_bytes() == before


def test_force_deletes_nothing_before_the_run_can_start(run, tmp_path: Path) -> None:
    run(WALKS)
    results = tmp_path / "out/output__test"
    before = {path: path.stat().st_size for path in results.rglob("*")}
    with pytest.raises(RunError, match="walk asks for wheels: 1"):
        run(WALKS + "devices: {walk: {wheels: 1}}", force=True)
    assert {path: path.stat().st_size for path in results.rglob("*")} == before


def test_a_failing_variant_does_not_stop_its_siblings(run) -> None:
    outcome = run(
        """
pipeline:
  try: !my.Faulty
    at: !g [2, 100]
  after: !@ try.value
"""
    )
    assert sorted(statuses(outcome, "try").values()) == ["done", "failed"]
    assert sorted(statuses(outcome, "after").values()) == ["done", "pending"]
    assert outcome.exit_code == 1
    assert [record.error for record in outcome.failed] == ["RuntimeError: bad luck at step 2"]


def test_the_whole_story_of_a_failure_is_in_its_log(run, tmp_path: Path) -> None:
    outcome = run("pipeline: {try: !my.Faulty {at: 1}}")
    [failed] = outcome.failed
    log = (tmp_path / "out/output__test/try" / failed.key.variant / "log.txt").read_text()
    assert "in step" in log
    assert "RuntimeError: bad luck at step 1" in log
    assert "in stage try, variant default" in log


def test_an_endless_message_is_cut_short() -> None:
    told = one_line(RuntimeError("bad luck " * 100_000))
    assert told.startswith("RuntimeError: bad luck bad luck")
    assert told.endswith("… (899,999 characters; all of them are in log.txt)")
    assert len(told) < 2100


def test_what_a_dying_worker_wrote_last_is_in_the_log_of_its_trial(run, tmp_path: Path) -> None:
    outcome = run("max_failures: 0\npipeline: {try: !flambe.testing.stages:Killed {}}", backend="pool")
    [failed] = outcome.failed
    log = (tmp_path / "out/output__test/try" / failed.key.variant / "log.txt").read_text()
    assert failed.error in log
    assert "the last word" in log


def test_an_exception_of_a_constructor_names_its_config_path(run, tmp_path: Path) -> None:
    outcome = run(
        f"pipeline: {{try: {{inner: [!my.Counted {{value: 1, diary: {tmp_path}/no/such/folder}}]}}}}"
    )
    [failed] = outcome.failed
    log = (tmp_path / "out/output__test/try" / failed.key.variant / "log.txt").read_text()
    assert "while building pipeline.try.inner[0] (test.yaml:5:26)" in log


def test_a_failed_trial_is_tried_again_from_its_checkpoint(run, tmp_path: Path) -> None:
    outcome = run(f"pipeline: {{try: !my.Faulty {{at: 2, once: {tmp_path}/tried}}}}")
    [record] = outcome.records.values()
    assert (record.status, record.attempts, record.step) == ("done", 2, 4)


def test_max_failures_bounds_the_tries(run) -> None:
    outcome = run("max_failures: 3\npipeline: {try: !my.Faulty {at: 1}}")
    [record] = outcome.records.values()
    assert (record.status, record.attempts) == ("failed", 4)


def test_a_constructor_that_raises_is_not_tried_for_ever(run, tmp_path: Path) -> None:
    outcome = run(f"pipeline: {{try: !my.Counted {{value: 1, diary: {tmp_path}/no/such/folder}}}}")
    assert statuses(outcome, "try") == {"default": "failed"}


def test_stop_on_failure_starts_no_more(run) -> None:
    outcome = run(
        """
max_failures: 0
stop_on_failure: true
pipeline:
  try: !my.Faulty
    at: !g [1, 100]
"""
    )
    assert sorted(statuses(outcome, "try").values()) == ["failed", "pending"]


def test_reduce_never_chooses_the_failed_or_those_without_a_metric(run) -> None:
    outcome = run(
        """
pipeline:
  try: !g [!my.Mute {value: 0.1}, !my.Mute {value: .nan}, !my.Mute {}, !my.Faulty {at: 1, value: 9}]
  after: !@ try.value
reduce: {try: 1}
"""
    )
    assert outcome.exit_code == 1
    assert len(outcome.chosen["try"]) == 1
    assert [k.variant for k, r in outcome.records.items() if k.stage == "after" and r.status == "done"]


def test_what_failed_before_its_dependants_were_known_holds_up_no_reduce(run) -> None:
    outcome = run("""
max_failures: 0
pipeline:
  try: !my.Faulty {at: !g [1, 9]}
  walk: !my.Walk {stride: !g [1.0, 2.0]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place, tried: !@ try.value}
  last: {report: !@ report.place}
reduce: {walk: 1, report: 1}
""")
    ended = Counter((key.stage, record.status) for key, record in outcome.records.items())
    assert ended["report", "done"] == ended["report", "pending"] == ended["last", "done"] == 1
    [blocked] = [record for record in outcome.records.values() if record.status == "pending"]
    assert blocked.error is not None
    assert blocked.error.startswith("not run: try/at=1~")


def test_too_few_variants_for_a_reduce_is_an_error_that_says_so(run) -> None:
    outcome = run(
        """
pipeline:
  try: !my.Mute {value: !g [1.0, null]}
  after: !@ try.value
  apart: 1
reduce: {try: 2}
"""
    )
    assert outcome.problems == (
        "reduce: try keeps 2 variants, but only 1 of 2 finished with a metric (1 without a metric)",
    )
    assert outcome.exit_code == 1
    assert statuses(outcome, "apart") == {"default": "done"}
    assert statuses(outcome, "after") == {}


def test_upstream_objects_are_handed_over_and_never_rebuilt(run, tmp_path: Path) -> None:
    outcome = run(
        f"""
pipeline:
  data: !my.Counted {{value: 7, diary: {tmp_path}/diary}}
  use: {{number: !@ data.value, whole: !@ data, option: !g [1, 2, 3]}}
  later: !@ use.number
"""
    )
    assert outcome.exit_code == 0
    assert len(statuses(outcome, "later")) == 3
    assert (tmp_path / "diary").read_text() == "7\n"


def test_an_upstream_object_changed_by_one_variant_is_whole_for_the_next(run) -> None:
    outcome = run(
        """
pipeline:
  start: !my.Walk {steps: 1}
  more: !my.Report
    walk: !@ start
    place: !call start.metric
  other: {walk: !@ start, n: !g [1, 2]}
"""
    )
    assert list(statuses(outcome, "other").values()) == ["done", "done"]


def test_no_barrier_that_the_config_does_not_ask_for(run, tmp_path: Path) -> None:
    """A later stage's variant and an independent stage run while a slow sibling still waits for them."""
    os.mkdir(tmp_path / "meeting")
    outcome = run(
        f"""
devices: {{cpu: 0.25}}
pipeline:
  first: {{name: !g [quick, slow]}}
  wait: !my.Meeting {{name: !@ first.name, folder: {tmp_path}/meeting, others: 3}}
  apart: !my.Meeting {{name: apart, folder: {tmp_path}/meeting, others: 3}}
""",
        backend="pool",
    )
    assert outcome.exit_code == 0
    assert sorted(os.listdir(tmp_path / "meeting")) == ["apart", "quick", "slow"]


def test_a_config_that_is_wrong_runs_nothing(run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Walk has no argument 'strid'; did you mean 'stride'"):
        run("pipeline: {walk: !my.Walk {strid: 1.0}}")
    assert not (tmp_path / "out").exists()


def test_a_secret_reaches_the_object_and_no_file(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLACE", "sesame-1")
    outcome = run(
        f"""
pipeline:
  use: {{a: !env PLACE, b: !secret door.word, length: !my.Counted {{value: 1, diary: {tmp_path}/diary}}}}
  later: {{a: !@ use.a}}
""",
        secrets={"door": {"word": "sesame-2"}},
    )
    assert outcome.exit_code == 0
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or b"sesame" not in file.read_bytes(), file


def test_a_secret_in_a_failure_is_blanked_out(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLACE", "/no/such/sesame")
    outcome = run("pipeline: {try: !my.Counted {value: 1, diary: !env PLACE}}")
    assert [record.error for record in outcome.failed] == [
        "FileNotFoundError: [Errno 2] No such file or directory: '***'"
    ]
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or b"sesame" not in file.read_bytes(), file


def test_what_is_logged_is_in_the_trials_metrics(run, tmp_path: Path) -> None:
    outcome = run("pipeline: {walk: !my.Walk {steps: 3}}")
    lines = (tmp_path / "out/output__test/walk/default/metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert [(line["name"], line["step"], line["trial_step"]) for line in logged] == [
        ("place", 1, 1),
        ("place", 2, 2),
        ("place", 3, 3),
    ]
    [record] = outcome.records.values()
    assert 10.0 - logged[-1]["value"] == pytest.approx(record.metric)


def test_values_of_variants_that_can_no_longer_be_chosen_are_freed_at_once(run, monkeypatch) -> None:
    """A reduce over many variants holds the linked values of the best so far, not of all."""
    from flambe.executors.in_process import InProcess

    held = most = 0
    release = InProcess.release

    def counting_release(self, handle) -> None:
        nonlocal held
        held -= 1
        release(self, handle)

    def observe(update) -> None:
        nonlocal held, most
        if update.change == "ended" and update.stage == "walk":
            held += 1
            most = max(most, held)

    monkeypatch.setattr(InProcess, "release", counting_release)
    outcome = run(
        """
pipeline:
  walk: !my.Walk {stride: !g [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], steps: 1}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
reduce: {walk: 2}
""",
        observe=observe,
    )
    assert outcome.exit_code == 0
    assert len(outcome.chosen["walk"]) == 2
    assert most == 3


def test_more_variants_than_a_run_can_hold_are_refused_at_once(run, tmp_path: Path) -> None:
    options = "".join(f", o{i}: !g [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for i in range(9))
    with pytest.raises(RunError) as raised:
        run(f"pipeline: {{wide: {{a: 1{options}}}}}")
    assert str(raised.value) == (
        "stage wide has 1,000,000,000 variants, and a run holds at most 1,000,000: "
        "try fewer options, or draw from distributions with num_samples"
    )
    assert not (tmp_path / "out").exists()
