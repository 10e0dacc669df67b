"""Scripts that know nothing of stages, as stages."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import flambe
import flambe.stages.script
from flambe import Experiment, Outcome
from flambe.build.hidden import Hidden
from flambe.errors import RunError, SavingError
from flambe.language.read import read_text
from flambe.stages.script import Script

TRAIN = """
import argparse, os
import flambe
import flambe.stages.script
import helper

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--layers", type=int, nargs="+", default=[])
parser.add_argument("--fast", action="store_true")
parser.add_argument("--token", default="")
parser.add_argument("--out")

if __name__ == "__main__":
    options = parser.parse_args()
    print("training", options.name, "with", options.token)
    for step in (1, 2):
        flambe.log("dev/score", options.lr * step + sum(options.layers) + options.fast, step)
    flambe.log("note", "done")
    if options.out:
        os.chdir(options.out)
        with open("weights.txt", "w") as file:
            file.write(f"{options.lr} {helper.COUNT}")
"""

Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(TRAIN)
    (tmp_path / "scripts" / "helper.py").write_text("COUNT = 7\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def run(pipeline: str, *, save_path: str = str(folder / "out"), **options: Any) -> Outcome:
        text = f"name: test\nsave_path: {save_path}\npipeline:\n{pipeline}"
        return Experiment.from_document(read_text(text, "test.yaml")).run(
            **{"backend": "in-process", **options}
        )

    return run


SEARCHED = """
  base: 0.5
  train: !Script
    script: scripts/train.py
    positional: [first]
    args: {lr: !g [0.1, 0.2], layers: [1, 2], fast: true, token: !env TOKEN}
    output_dir_arg: out
    metric: dev/score
  report: !Script
    script: scripts/train.py
    positional: [!@ train.output_dir]
    args: {lr: !@ 'train.results[dev/score]'}
    metric: dev/score
    lower_is_better: true
reduce: {train: 1}
"""


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_options_are_searched_and_linked_like_any_value(
    run: Run, folder: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "abracadabra")
    outcome = run(SEARCHED, backend=backend)
    assert outcome.exit_code == 0
    metrics = {key.variant.split("~")[0]: record.metric for key, record in outcome.records.items()}
    assert metrics["lr=0.1"] == pytest.approx(4.2)
    (best,) = outcome.chosen["train"]
    (report,) = [record.metric for key, record in outcome.records.items() if key.stage == "report"]
    assert report == pytest.approx(2 * 4.4)
    trial = Path(outcome.folder) / "train" / best
    assert (trial / "output" / "weights.txt").read_text() == "0.2 7"
    names = [json.loads(line)["name"] for line in (trial / "metrics.jsonl").read_text().splitlines()]
    assert names == ["dev/score", "dev/score", "note"]
    log = (trial / "log.txt").read_text()
    assert "running scripts/train.py first --lr 0.2 --layers 1 2 --fast --token '***' --out" in log
    assert "training first with ***" in log
    for file in Path(outcome.folder).rglob("*"):
        assert not file.is_file() or b"abracadabra" not in file.read_bytes(), file


def test_a_finished_script_is_not_run_again(run: Run, folder: Path) -> None:
    stage = "  train: !Script {script: scripts/train.py, positional: [a], args: {lr: 1}, metric: dev/score}\n"
    first = run(stage)
    (folder / "scripts" / "train.py").write_text("raise SystemExit(3)")
    again = run(f"{stage}  after: !@ train.results[dev/score]\n", resume=True)
    assert again.exit_code == 0
    assert again.reused == set(first.records)
    saved = str(next((Path(again.folder) / "train").iterdir()))
    with pytest.raises(SavingError, match="asks to build 'Script', for which nobody vouched"):
        flambe.load(saved)  # whoever builds a script can run it
    loaded = flambe.load(saved, trust=["flambe.stages"])
    assert isinstance(loaded, Script)
    assert loaded.metric() == 2.0


def test_files_of_a_remote_trial_are_copied_there(run: Run) -> None:
    outcome = run(
        "  train: !Script {script: scripts/train.py, positional: [a], args: {lr: 1}, output_dir_arg: out}\n",
        save_path="memory://scripts",
        force=True,
    )
    assert outcome.exit_code == 0
    (key,) = outcome.records
    with fsspec.open(f"{outcome.folder}/train/{key.variant}/output/weights.txt", "r") as file:
        assert file.read() == "1.0 7"


def test_nothing_of_a_script_is_left_behind(folder: Path) -> None:
    before = (sys.argv, list(sys.path), sys.modules["__main__"], os.getcwd())
    (folder / "scripts" / "leave.py").write_text(
        "import helper, os, sys\nsys.path.append('x')\nos.chdir('/')"
    )
    assert Script("scripts/leave.py").step() is False
    assert (sys.argv, sys.path, sys.modules["__main__"], os.getcwd()) == before
    assert "helper" not in sys.modules
    (folder / "scripts" / "helper.py").write_text("raise SystemExit(5)")
    with pytest.raises(RunError, match="exit code 5"):  # a helper is read anew
        Script("scripts/leave.py").step()


def test_a_script_sees_the_modules_beside_it_and_leaves_others_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "helper.py").write_text("COUNT = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    other = importlib.import_module("helper")
    (folder / "scripts" / "count.py").write_text("import flambe, helper; flambe.log('n', helper.COUNT)")
    script = Script("scripts/count.py", metric="n")
    for _ in range(2):
        script.step()
        assert script.metric() == 7
        assert sys.modules["helper"] is other
    del sys.modules["helper"]


def test_modules_run_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "run.py").write_text(
        "import sys, flambe, package\nflambe.log('words', len(sys.argv))\nflambe.log('b', {'c': 2.5})"
    )
    monkeypatch.syspath_prepend(str(folder))
    script = Script("package.run", positional=[1, "two"], metric="words")
    script.step()
    assert script.results == {"words": 3.0, "b/c": 2.5}
    assert script.metric() == 3.0
    for name in ("package", "package.run"):
        sys.modules.pop(name, None)


def test_a_folder_with_a_main_file_runs(folder: Path) -> None:
    (folder / "scripts" / "__main__.py").write_text("import flambe, helper; flambe.log('n', helper.COUNT)")
    script = Script("scripts", metric="n")
    script.step()
    assert script.metric() == 7


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"a": 1e-5, "b": "x y"}, ["--a", "1e-05", "--b", "x y"]),
        ({"a": True, "b": False, "c": None}, ["--a"]),
        ({"a": [1, "b"], "c": []}, ["--a", "1", "b", "--c"]),
        ({"-v": True, "-n": 3, "--long": 4}, ["-v", "-n", "3", "--long", "4"]),
        ({"a": -1, "b": "-x"}, ["--a=-1", "--b=-x"]),
        ({"path": Path("a/b")}, ["--path", os.path.join("a", "b")]),
    ],
)
def test_options_become_words(args: dict[str, Any], words: list[str]) -> None:
    assert Script("json.tool", args).arguments == words


def test_secrets_stay_secrets_among_the_words() -> None:
    assert all(
        isinstance(Script("json.tool", {"key": Hidden(text)}).arguments[-1], Hidden) for text in ("a", "-a")
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise SystemExit(3)", "the script end.py ended with exit code 3"),
        ("import sys; sys.exit('no data')", "the script end.py ended: no data"),
        (
            "import argparse; argparse.ArgumentParser(prog='end').parse_args(['--x'])",
            "the script end.py ended with exit code 2: end: error: unrecognized arguments: --x",
        ),
    ],
)
def test_an_exit_code_that_is_not_0_is_an_error(folder: Path, body: str, message: str) -> None:
    (folder / "end.py").write_text(body)
    with pytest.raises(RunError) as raised:
        Script("end.py").step()
    assert str(raised.value) == message


def test_exit_code_0_is_fine_and_exceptions_keep_their_type(folder: Path) -> None:
    (folder / "end.py").write_text("raise SystemExit(0)")
    assert Script("end.py").step() is False
    (folder / "end.py").write_text("[][1]")
    with pytest.raises(IndexError):
        Script("end.py").step()


LOGGED_IN = {
    "thread": """
import flambe, threading
thread = threading.Thread(target=lambda: flambe.log("acc", 0.9))
thread.start()
thread.join()
""",
    "pool": """
import flambe
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    pool.submit(flambe.log, "acc", 0.9).result()
""",
}


@pytest.mark.parametrize("where", LOGGED_IN)
def test_what_threads_of_a_script_log_is_the_trials(run: Run, folder: Path, where: str) -> None:
    (folder / "th.py").write_text(LOGGED_IN[where])
    outcome = run("  train: !Script {script: th.py, metric: acc}\n")
    assert [(record.metric, record.error) for record in outcome.records.values()] == [(0.9, None)]
    (file,) = Path(outcome.folder).rglob("metrics.jsonl")
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["acc"]


STREAMS = """
import io, sys
sys.stdout.reconfigure(line_buffering=True)
sys.stderr.reconfigure(encoding="utf-8", errors="replace")
sys.stdout.buffer.write("bytes: é\\n".encode())
sys.stderr.buffer.write(b"bytes to stderr\\n")
sys.stdout.writelines(["one\\n", "two\\n"])
sys.stdout.close()
print("after close", flush=True)
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
print("wrapped")
raise ArithmeticError("fell")
"""


def test_a_script_may_treat_its_streams_as_a_programs(run: Run, folder: Path) -> None:
    (folder / "streams.py").write_text(STREAMS)
    outcome = run("  train: !Script {script: streams.py}\n")
    (file,) = Path(outcome.folder).rglob("log.txt")
    said = file.read_text().splitlines()
    assert said[1:7] == ["bytes: é", "bytes to stderr", "one", "two", "after close", "wrapped"]
    assert "ArithmeticError: fell" in said


@pytest.mark.parametrize("positional", ["fit", Hidden("fit"), b"fit", {"fit": 1}])
def test_arguments_that_are_no_list_are_refused(positional: Any) -> None:
    kind = "text" if isinstance(positional, str) else type(positional).__name__
    message = f"positional is a {kind}; write a list of arguments, such as [fit]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Script("json.tool", positional=positional)


@pytest.mark.parametrize(("args", "kind"), [("fit", "text"), (["ab", "cd"], "list")])
def test_options_without_names_are_refused(args: Any, kind: str) -> None:
    message = (
        f"args is a {kind}; write options by name, such as {{lr: 0.1}}, and arguments without a name as a "
        "list in positional"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Script("json.tool", args)


def test_what_cannot_be_is_told(folder: Path) -> None:
    with pytest.raises(RunError) as raised:
        Script("trian.py")
    assert str(raised.value) == (
        "there is no script trian.py; give the path of a file, seen from the working folder "
        f"({folder}), or the name of a module that can be imported"
    )
    with pytest.raises(
        TypeError, match=r"^args\.a is a dict; a script takes numbers, texts and lists of them$"
    ):
        Script("json.tool", {"a": {"b": 1}})
    with pytest.raises(ValueError, match=r"^'out' is both in args and the output_dir_arg$"):
        Script("json.tool", {"out": "x"}, output_dir_arg="out")
    (folder / "quiet.py").write_text("import flambe; flambe.log('dev/loss', 1.0)")
    with pytest.raises(ValueError, match=r"^metric is 'loss', but the script quiet\.py logged dev/loss$"):
        Script("quiet.py", metric="loss").step()
    with pytest.raises(RunError, match=r"^the script quiet\.py has an output folder only in a trial"):
        Script("quiet.py", output_dir_arg="out").step()
    with pytest.raises(RunError, match="no trial runs here: only the code of a stage has"):
        flambe.trial_folder()


def test_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(flambe.stages.script).failed == 0
