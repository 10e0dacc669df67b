"""The commands as a person or a program uses them: exit codes, stdout, stderr."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """\
my: walking
---
name: walks
pipeline:
  base: 3
  walk: !my.Walk
    stride: !g [1.0, 2.0]
    steps: !@ base
  report: !my.Report
    walk: !@ walk
    place: !@ walk.place
reduce:
  walk: 1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "walks.yaml"
    file.write_text(CONFIG)
    return file


def test_a_file_alone_is_run(flambe, config) -> None:
    said = flambe("walks.yaml")
    assert said.code == 0
    assert said.out.splitlines()[-1] == f"results: {config.parent}/flambe-output/output__walks"
    rows = [line.split() for line in said.out.splitlines() if "done" in line]
    assert [row[0] for row in rows] == ["base", "walk", "stride=1.0~466b03", "report"]
    assert "walk/stride=1.0~466b03: started" in said.err


def test_a_save_path_may_lie_in_the_home_folder(flambe, config, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(config.parent / "home"))
    said = flambe("run", config, "save_path=~/runs")
    assert said.out.endswith(f"results: {config.parent}/home/runs/output__walks\n")


def test_a_second_run_asks_for_resume_or_force(flambe, config) -> None:
    flambe("run", config)
    again = flambe("run", config)
    assert again.code == 1
    assert again.err.endswith("holds results; go on with --resume, or delete them with --force\n")
    assert flambe("run", config, "--resume").code == 0
    assert flambe("run", config, "--force").code == 0
    assert flambe("run", config, "--force", "--resume").code == 2


def test_a_failed_stage_gives_exit_code_1_and_says_how_to_go_on(flambe, config) -> None:
    config.write_text("my: walking\n---\nname: bad\npipeline: {try: !my.Faulty {at: 1}}\n")
    said = flambe("run", config, "try.at=2")
    assert said.code == 1
    assert "failed: try/default: RuntimeError: bad luck at step 2" in said.err
    assert f"when it is mended, go on with: flambe run {config} try.at=2 --resume" in said.err
    assert "Traceback" not in said.err


def test_how_to_go_on_is_said_with_the_options_that_were_given(flambe, config) -> None:
    config.write_text("my: walking\n---\nname: bad\npipeline: {try: !my.Faulty {at: 1}}\n")
    secrets = config.parent / "secrets.ini"
    secrets.write_text("")
    said = flambe("run", config, "--backend", "in-process", "--secrets", secrets)
    same = f"--backend in-process --secrets {secrets}"
    assert f"when it is mended, go on with: flambe run {config} {same} --resume" in said.err


def test_a_config_whose_name_is_no_utf8_is_run(flambe, config) -> None:
    odd = config.rename(config.parent / os.fsdecode(b"\xff.yaml"))
    assert flambe("run", odd).code == 0
    assert flambe("run", odd, "--resume").code == 0
    assert flambe("show", "flambe-output/output__walks").code == 0


def test_an_error_that_names_a_file_that_is_no_utf8_is_a_failed_trial(flambe, config, monkeypatch) -> None:
    (config.parent / "reading_it.py").write_text(
        "def read(name):\n    raise OSError(f'cannot read x\\udcff{name}')\n"
    )
    monkeypatch.syspath_prepend(str(config.parent))
    config.write_text("my: reading_it\n---\nname: bad\nmax_failures: 0\npipeline: {try: !my.read y}\n")
    said = flambe("run", config)
    assert said.code == 1
    assert "failed: try/default: OSError: cannot read x" in said.err
    trial = json.loads((config.parent / "flambe-output/output__bad/try/default/trial.json").read_bytes())
    assert trial["error"] == r"OSError: cannot read x\udcffy"
    assert flambe("show", "flambe-output/output__bad").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "walks.yaml"),
        ("- 1\n- 2\n", "walks.yaml"),
        ("name: a\n\tpipeline: 3\n", "walks.yaml:2:"),
        ("name: [a\n", "walks.yaml:"),
        ("name: a\npipeline: {walk: !my.Walk {}}\n", "walks.yaml:2:18  pipeline.walk"),
        ("name: a\nname: b\npipeline: {walk: 1}\n", "walks.yaml:2:1  'name' is given twice"),
    ],
)
def test_a_config_that_is_wrong_gives_one_clear_message_and_exit_code_2(
    flambe, config, text: str, message: str
) -> None:
    config.write_text(text)
    for command in ("run", "check", "plan"):
        said = flambe(command, "walks.yaml")
        assert said.code == 2, command
        assert message in said.out + said.err
        assert "Traceback" not in said.out + said.err


def test_a_missing_or_binary_config_is_no_traceback(flambe, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    for file in ("missing.yaml", "binary.yaml", "."):
        said = flambe("check", file)
        assert (said.code, "Traceback" in said.err) == (2, False)


def test_check_of_a_right_config_is_silent_on_stdout(flambe, config) -> None:
    said = flambe("check", "walks.yaml")
    assert said == (0, "", "walks.yaml: no problems found\n")


def test_check_counts_the_problems(flambe, config) -> None:
    said = flambe("check", config, "walk.gaol=1", "walk.stripe=1")
    assert (said.code, said.err) == (2, f"{config}: 2 problems found\n")


def test_check_as_json_is_for_programs(flambe, config) -> None:
    config.write_text(CONFIG.replace("stride:", "strid:").replace("!@ base", "!@ bas"))
    said = flambe("check", "--format", "json", "walks.yaml")
    assert said.code == 2
    found = json.loads(said.out)
    assert [(problem["line"], problem["path"]) for problem in found] == [
        (7, "pipeline.walk.strid"),
        (8, "pipeline.walk.steps"),
    ]


def test_plan_as_json(flambe, config) -> None:
    said = flambe("plan", "--json", "walks.yaml")
    stages = json.loads(said.out)["stages"]
    assert [(stage["name"], stage["needs"]) for stage in stages] == [
        ("base", []),
        ("walk", ["base"]),
        ("report", ["walk"]),
    ]
    assert stages[1]["variants"] == [
        {
            "id": "stride=1.0~466b03",
            "choices": {"pipeline.walk.stride": 1.0},
            "upstream": {"base": "default"},
        },
        {
            "id": "stride=2.0~6944eb",
            "choices": {"pipeline.walk.stride": 2.0},
            "upstream": {"base": "default"},
        },
    ]
    assert len(stages[2]["variants"]) == 1


def test_plan_tells_what_a_resume_would_reuse(flambe, config) -> None:
    flambe("run", config)
    winner = json.loads(flambe("show", "flambe-output/output__walks", "--json").out)["stages"][1]["chosen"]
    planned = json.loads(flambe("plan", "--json", config, "walk.stride=!g [1.0, 2.0, 0.001]").out)["stages"]
    statuses = {variant["id"].split("~")[0]: variant.get("status") for variant in planned[1]["variants"]}
    assert statuses == {"stride=1.0": "reused", "stride=2.0": "reused", "stride=0.001": None}
    unchanged = json.loads(flambe("plan", "--json", config).out)["stages"]
    assert [(variant["id"], variant["status"]) for variant in unchanged[2]["variants"]] == [
        (winner[0], "reused")
    ]


def test_plan_of_more_variants_than_can_be_run_is_quick(flambe, config) -> None:
    flambe("run", config)
    said = flambe("plan", config, "walk.stride=!uniform [0.0, 1.0]", "num_samples=1000000000000")
    assert said.code == 0
    assert "walk: 1,000,000,000,000 variants, links to base\n" in said.out
    assert "1 reused" in said.out


def test_plan_of_another_runnable_is_an_error(flambe, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("!collections:Counter {a: 1}\n")
    assert flambe("plan", "other.yaml") == (
        1,
        "",
        "flambe: other.yaml holds no experiment, and nothing else has a plan\n",
    )
    (tmp_path / "other.yaml").write_text("!experiment {name: a, pipeline: {b: 1}}\n")
    assert flambe("plan", "other.yaml").code == 2


def test_plan_as_a_graph(flambe, config) -> None:
    said = flambe("plan", "--graph", "mermaid", "walks.yaml")
    assert said.out.startswith("flowchart")


def test_overrides_are_checked_like_the_rest(flambe, config) -> None:
    assert flambe("run", config, "walk.steps=2", "pipeline.walk.goal=5").code == 0
    shown = json.loads(flambe("show", "flambe-output/output__walks", "--json").out)
    assert {variant["steps"] for variant in shown["stages"][1]["variants"]} == {2}
    wrong = flambe("run", config, "--force", "walk.gaol=5")
    assert wrong.code == 2
    assert wrong.err.startswith(
        "<argument 'walk.gaol=5'>:1:1  pipeline.walk.gaol: Walk has no argument 'gaol'; did you mean 'goal'?"
    )


def test_show_ranks_the_variants(flambe, config) -> None:
    flambe("run", config)
    shown = json.loads(flambe("show", "flambe-output/output__walks", "--json").out)
    assert (shown["name"], shown["status"]) == ("walks", "done")
    metrics = [variant["metric"] for variant in shown["stages"][1]["variants"]]
    assert metrics == sorted(metrics)
    assert shown["stages"][1]["chosen"] == [shown["stages"][1]["variants"][0]["variant"]]
    assert "walks: done" in flambe("show", "flambe-output/output__walks").out


@pytest.mark.parametrize("data", [b"", b'{"na', b"\0" * 20, b"\xff{}", b"[]", b"null"])
def test_a_run_is_shown_though_its_run_json_is_damaged(flambe, config, caplog, data: bytes) -> None:
    flambe("run", config)
    file = config.parent / "flambe-output/output__walks/run.json"
    file.write_bytes(data)
    for command in ("show", "trials", "compare"):
        said = flambe(command, "flambe-output/output__walks")
        assert said.code == 0
        assert "stride=1.0" in said.out or command == "compare"
    assert f"{file} is damaged: what it says of the run is left out" in caplog.text
    assert "1 reused" in flambe("plan", config).out
    assert flambe("stop", "flambe-output/output__walks", "walk/nope").code == 1
    assert flambe("run", config, "--resume").code == 0
    assert json.loads(file.read_bytes())["status"] == "done"


def test_show_of_something_else_is_an_error(flambe, tmp_path: Path) -> None:
    assert flambe("show", ".") == (
        1,
        "",
        "flambe: . is not the folder of a run: it has no journal.jsonl\n",
    )


def test_compare_puts_the_better_run_first(flambe, config) -> None:
    flambe("run", config, "save_path=a")
    flambe("run", config, "save_path=b", "walk.goal=100")
    rows = flambe("compare", "b/output__walks", "a/output__walks").out.splitlines()
    walk = next(i for i, row in enumerate(rows) if row.lstrip().startswith("walk"))
    assert "a/output__walks" in rows[walk]
    assert "b/output__walks" in rows[walk + 1]


def test_plugins_lists_core_with_what_it_brings(flambe) -> None:
    listed = json.loads(flambe("plugins", "--json").out)
    core = next(plugin for plugin in listed if plugin["name"] == "core")
    assert (core["distribution"], core["error"]) == ("flambe-core", None)
    assert set(core["brings"]["executors"]) == {"local", "in-process", "pool"}


def test_describe_shows_arguments_and_documentation(flambe) -> None:
    said = flambe("describe", "my.Walk", "--header", "my=walking")
    assert "stride: float = 1.0" in said.out
    assert "Takes random steps" in said.out


@pytest.mark.parametrize("header", ["walking", "my=", "=walking"])
def test_describe_takes_a_header_with_alias_and_module(flambe, header: str) -> None:
    said = flambe("describe", "my.Walk", "--header", header)
    assert (said.code, said.err.splitlines()[-1]) == (2, "Error: --header takes ALIAS=MODULE")


def test_an_unknown_tag_is_an_error_with_the_nearest_name(flambe) -> None:
    said = flambe("describe", "Experimnt")
    assert said.code == 1
    assert "did you mean 'Experiment'" in said.err


def test_completion_prints_a_script(flambe) -> None:
    assert "_FLAMBE_COMPLETE" in flambe("completion", "bash").out


def test_the_version(flambe) -> None:
    assert flambe("--version").out == "flambe, version 0.5.0\n"


def test_a_secrets_file_that_is_missing_is_named(flambe, config) -> None:
    assert flambe("run", config, "--secrets", "no.ini").err == "flambe: there is no secrets file no.ini\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("secrets.ini", b"[a]\nb=\xff\n", "secrets.ini: this is not UTF-8 text"),
        (".", None, "cannot read the secrets file .: Is a directory"),
        ("secrets.ini", b"b = hush\n", "secrets.ini:1: not an ini file of sections"),
    ],
)
def test_a_secrets_file_that_cannot_be_read_is_named(
    flambe, config, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (config.parent / name).write_bytes(data)
    assert flambe("check", config, "--secrets", name) == (1, "", f"flambe: {message}\n")


def test_a_secrets_file_may_begin_with_a_byte_order_mark(flambe, config) -> None:
    (config.parent / "secrets.ini").write_text("\ufeff[a]\nb = hush\n", encoding="utf-8")
    assert flambe("check", config, "base=!secret a.b", "--secrets", "secrets.ini").code == 0


def test_a_new_extension_is_a_package_whose_example_checks(flambe, tmp_path: Path, monkeypatch) -> None:
    assert flambe("new", "extension", "my-walks").code == 0
    monkeypatch.syspath_prepend(str(tmp_path / "my-walks/src"))
    monkeypatch.chdir(tmp_path / "my-walks")
    assert flambe("check", "example.yaml").code == 0
    assert flambe("run", "example.yaml").code == 0
    sys.modules.pop("my_walks", None)


def test_a_new_extension_never_writes_over_a_folder(flambe, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    assert flambe("new", "extension", "full").code == 2
    assert flambe("new", "extension", "not a name!").code == 2
    assert flambe("new", "extension", "größe").code == 2  # no package on PyPI can be called so
    taken = flambe("new", "extension", "json")
    assert (taken.code, (tmp_path / "json").exists()) == (2, False)
    assert "there is a package 'json' already; choose another name" in taken.err
    (tmp_path / "file").touch()
    assert flambe("new", "extension", "file/walks") == (
        1,
        "",
        "flambe: cannot make file/walks: Not a directory\n",
    )


def test_help_imports_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from flambe.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'numpy', 'strictyaml', 'rich', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_export_copies_the_best_variant_with_what_it_needs(flambe, config, tmp_path: Path) -> None:
    import flambe as library

    flambe("run", config)
    shown = json.loads(flambe("show", "flambe-output/output__walks", "--json").out)
    best = shown["stages"][1]["variants"][0]
    said = flambe("export", "flambe-output/output__walks", "walk", "best")
    assert said.out == f"load it with flambe.load('{tmp_path}/best')\n"
    flambe("export", "flambe-output/output__walks", "report", "whole")
    (tmp_path / "flambe-output").rename(tmp_path / "moved")
    walk = library.load("best")
    assert abs(walk.goal - walk.place) == pytest.approx(best["metric"])
    report = library.load(f"whole/report/{best['variant']}")
    assert report.walk.place == walk.place


def test_export_of_a_part_takes_the_parts_beside_it_that_it_needs(flambe, tmp_path: Path) -> None:
    import flambe as library

    (tmp_path / "beside.yaml").write_text(
        "my: walking\n---\nname: beside\npipeline:\n  group: !Exporter\n    walk: !my.Walk {goal: 7.0}\n"
        "    report: !my.Report {walk: !@ group.walk, place: 0.0}\n"
    )
    flambe("run", "beside.yaml")
    said = flambe("export", "flambe-output/output__beside", "group.report", "part")
    (tmp_path / "flambe-output").rename(tmp_path / "moved")
    folder = tmp_path / "part/group/default/report"
    assert said.out == f"load it with flambe.load('{folder}')\n"
    assert library.load(str(folder)).walk.goal == 7.0


def test_export_replaces_a_save_if_asked_and_nothing_else(flambe, config, tmp_path: Path) -> None:
    flambe("run", config)
    export = ("export", "flambe-output/output__walks", "walk")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("years of work")
    refused = flambe(*export, "full", "--force")
    assert refused.code == 1
    assert refused.err == f"flambe: {tmp_path}/full holds files that are no save; choose another folder\n"
    assert flambe(*export, "best").code == 0
    assert "holds a save; choose another folder, or replace it with --force" in flambe(*export, "best").err
    assert flambe(*export, "best", "--force").code == 0


def test_export_of_what_is_not_there_is_named(flambe, config) -> None:
    flambe("run", config)
    run = "flambe-output/output__walks"
    assert "no variant of a stage 'wlak' has ended" in flambe("export", run, "wlak", "x").err
    assert "has no ended variant 'none'" in flambe("export", run, "walk", "x", "--variant", "none").err
    assert "walk/stride=2.0~6944eb/legs cannot be copied" in flambe("export", run, "walk.legs", "x").err


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("flambe pl", ["plain,plan", "plain,plugins"]),
        ("flambe describe Experi", ["plain,Experiment"]),
        ("flambe run wal", ["file,wal"]),
        ("flambe run walks.yaml --backend p", ["plain,pool"]),
    ],
)
def test_shells_complete_commands_files_tags_and_executors(flambe, monkeypatch, line, completions) -> None:
    monkeypatch.setenv("_FLAMBE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert flambe().out.splitlines() == completions


def test_an_unknown_command_names_the_nearest(flambe) -> None:
    said = flambe("shw")
    assert said.code == 2
    assert said.err.endswith("Error: there is no command and no file 'shw'; did you mean 'show'?\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stop", "no/such", "walk"], 1, "no/such is not the folder of a run: it has no journal.jsonl"),
        (["stop", "{run}", "wlk"], 1, "the run has no trial 'wlk'; it has base/default"),
        (["pause", "{run}", "walk"], 1, "'walk' may be 2 trials: walk/stride=1.0"),
        (
            ["resume", "{run}", "base"],
            1,
            "the run is not going (it is done); go on with: flambe run walks.yaml",
        ),
        (["set", "{run}", "base", "stride"], 2, "expected key=value, not 'stride'"),
        (["set", "{run}", "base", "stride=[1"], 2, "<argument 'stride=[1'>"),
        (
            ["set", "{run}", "base", "stride=!g [1]"],
            2,
            "a value with a tag cannot be given to a running trial",
        ),
        (["set", "{run}", "base", "stride=.nan"], 2, "a value that is not a finite number cannot be written"),
        (["extend", "{run}"], 2, "Missing option '--samples'"),
        (["extend", "{run}", "--samples", "0"], 2, "0 is not in the range"),
        (["extend", "{run}", "--samples", "2"], 1, "no stage of the run has a search, or distributions"),
        (["trials", "{run}", "--stage", "wlk"], 1, "the run has no stage 'wlk'; it has base, walk, report"),
    ],
)
def test_commands_on_runs_say_what_is_wrong(flambe, config, arguments, code: int, message: str) -> None:
    flambe("walks.yaml")
    said = flambe(*(part.format(run="flambe-output/output__walks") for part in arguments))
    assert said.code == code
    assert message in said.err
    assert "Traceback" not in said.err


def test_trials_are_listed_with_their_short_ids(flambe, config) -> None:
    flambe("walks.yaml")
    said = flambe("trials", "flambe-output/output__walks")
    assert [line.split()[:4] for line in said.out.splitlines()[2:4]] == [
        ["default", "base", "default", "done"],
        ["466b03", "walk", "stride=1.0~466b03", "done"],
    ]
    listed = json.loads(flambe("trials", "flambe-output/output__walks", "--json", "--stage", "walk").out)
    assert [trial["id"] for trial in listed] == [trial["variant"].split("~")[1] for trial in listed]
    assert [(trial["status"], trial["changes"], trial["steps"]) for trial in listed] == [("done", {}, 3)] * 2


def test_piped_tables_have_no_spaces_at_the_end_of_their_lines(flambe, config) -> None:
    flambe("walks.yaml")
    run = "flambe-output/output__walks"
    for arguments in (["show", run], ["trials", run], ["compare", run], ["plugins"]):
        out = flambe(*arguments).out
        assert [line for line in out.splitlines() if line != line.rstrip()] == [], arguments
