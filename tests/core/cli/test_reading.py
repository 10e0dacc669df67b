"""What the commands show of a run whose `reduce` has chosen anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import flambe as framework
from flambe.experiment.reading import read_run

CONFIG = """
my: walking
---
name: walks
pipeline:
  walk: !my.Walk {stride: !g [0.1, 0.2]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
  after: !my.Walk {stride: !@ report.place}
reduce: {walk: 1}
"""
RUN = "flambe-output/output__walks"


@pytest.fixture
def chosen_anew(flambe, tmp_path: Path):
    """The commands, in the folder of a run that was resumed with a better variant than before."""
    config = tmp_path / "walks.yaml"
    config.write_text(CONFIG)
    assert flambe("run", config).code == 0
    config.write_text(CONFIG.replace("[0.1, 0.2]", "[0.1, 0.2, 4.0]"))
    assert flambe("run", config, "--resume").code == 0
    return flambe


def test_trials_of_an_earlier_choice_are_told_from_those_that_flow(chosen_anew) -> None:
    run = read_run(RUN)
    assert [record.upstream["walk"].split("~")[0] for record in run.of("report")] == ["stride=4.0"]
    assert {key.stage for key in run.outdated} == {"report", "after"}
    assert len(run.outdated) == 2
    assert len(run.of("after")) == 1
    assert len(run.of("walk")) == 3


def test_show_leaves_them_out_unless_asked_for_all(chosen_anew) -> None:
    shown = chosen_anew("show", RUN).out
    assert "stride=0.2" in shown
    assert shown.count("stride=0.2") == 1
    assert "2 more of an earlier choice of `reduce` or config; see `flambe show --all`" in shown
    everything = chosen_anew("show", RUN, "--all").out
    assert everything.count("(of an earlier choice or config)") == 2
    (report,) = [
        s for s in json.loads(chosen_anew("show", RUN, "--json").out)["stages"] if s["name"] == "report"
    ]
    assert len(report["variants"]) == 1


def test_export_takes_one_that_flows_unless_another_is_named(chosen_anew) -> None:
    run = read_run(RUN)
    (flows,) = run.of("report")
    (other,) = [key for key in run.outdated if key.stage == "report"]
    assert chosen_anew("export", RUN, "walk", "best").code == 0
    assert chosen_anew("export", RUN, "report", "now").code == 0
    assert chosen_anew("export", RUN, "report", "before", "--variant", other.variant).code == 0
    now, before = (
        framework.load(f"{name}/report/{variant}")
        for name, variant in (("now", flows.key.variant), ("before", other.variant))
    )
    assert now.place > before.place


def test_what_a_changed_config_has_no_more_is_left_out_until_it_is_back(flambe, tmp_path: Path) -> None:
    config = tmp_path / "walks.yaml"
    shown = []
    for strides, reduce in (("0.1, 4.0", True), ("0.1, 4.0", False), ("0.1", False), ("0.1, 4.0", False)):
        text = CONFIG.replace("0.1, 0.2", strides)
        config.write_text(text if reduce else text.replace("reduce: {walk: 1}", ""))
        assert flambe("run", config, "--resume").code == 0
        run = read_run(RUN)
        shown.append([len(run.of(stage)) for stage in ("walk", "report", "after")])
    assert shown == [[2, 1, 1], [2, 2, 2], [1, 1, 1], [2, 2, 2]]
