"""Asking something of a run from outside, and waiting for what it says."""

from __future__ import annotations

import getpass
import shlex
import time
from collections.abc import Mapping
from typing import Any

from flambe.errors import RunError
from flambe.experiment.control.extending import extendable, problem_of_extending
from flambe.experiment.control.requests import Action, Answer, Request, answer_in, send
from flambe.experiment.journal import JOURNAL, decode
from flambe.experiment.naming import find_trial
from flambe.experiment.preparing import stage_spaces
from flambe.experiment.reading import Run, about_run, read_run
from flambe.experiment.run_folder import CONFIG, RunFolder
from flambe.experiment.settings import Settings, settings_from
from flambe.experiment.stage_run import StageRun, stage_runs
from flambe.language.read import read_text
from flambe.storage.storage import Storage, open_storage

TIMEOUT_S = 60.0
_LOOK_S = 0.1
_CHECK_S = 1.0


def ask(
    folder: str,
    action: Action,
    trial: str,
    *,
    values: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """What the run in `folder` says to a request about a trial; `trial` names it as `find_trial` reads it.

    Raises:
        RunError: there is no such run or trial, it is not going, or it has not answered in time.
    """
    run = read_run(folder)
    key = find_trial(run.records, trial)
    request = Request(action, key.stage, getpass.getuser(), variant=key.variant, values=dict(values or {}))
    storage = open_storage(run.folder)
    if not is_going(storage):
        raise RunError(f"{run.folder}: {_not_going(run)}, and ask again while it is going")
    return _answered(storage, request, timeout_s)


def ask_for_more(
    folder: str, samples: int, *, stage: str | None = None, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Has a stage of the run in `folder` try so many variants more.

    For a run that is not going it is noted, and a resume finds it.

    Raises:
        RunError: there is no such run or stage, or the run has not answered in time.
    """
    run = read_run(folder)
    storage = open_storage(run.folder)
    stages = _stages(storage)
    request = Request("extend", stage or _only(stages), getpass.getuser(), samples=samples)
    problem = problem_of_extending(stages, request.stage, samples)
    if problem is not None:
        raise RunError(problem)
    if is_going(storage):
        return _answered(storage, request, timeout_s)
    with storage.lock():
        notes = RunFolder(storage)
        notes.open(resume=True, force=False)
        notes.extend(request.stage, samples, user=request.user, request=request.id)
        storage.close()
    return Answer(refused=False, why=f"{_not_going(run)}, which then tries them")


def is_going(storage: Storage) -> bool:
    """Whether a process drives the run whose folder this is."""
    return storage.is_locked()


def _not_going(run: Run) -> str:
    status = run.about.get("status", "unknown")
    said = "was killed" if status == "running" else f"is not going (it is {status})"
    return f"the run {said}; go on with: {_again(run)}"


def _again(run: Run) -> str:
    """The command that resumes the run: what it was started with."""
    config = str(run.about.get("config", "FILE"))
    words = shlex.split(str(run.about.get("command", "")))[1:]
    if words[:1] == ["run"]:
        words = words[1:]
    if config not in words:  # started from Python
        words = [config]
    kept = [word for word in words if word not in ("--resume", "--force")]
    return shlex.join(["flambe", "run", *kept, "--resume"])


def _answered(storage: Storage, request: Request, timeout_s: float) -> Answer:
    send(storage, request)
    deadline = time.monotonic() + timeout_s
    checked = time.monotonic()
    while storage.exists(request.file):
        now = time.monotonic()
        if now > deadline:
            raise RunError(
                f"the run has not answered within {timeout_s:g} s; it will when the trial has done its step; "
                f"to withdraw the request, remove {storage.join(request.file)}"
            )
        if now - checked > _CHECK_S:
            checked = now
            _check_on(storage, request)
        time.sleep(_LOOK_S)
    return answer_in(decode(storage.read(JOURNAL)), request)


def _check_on(storage: Storage, request: Request) -> None:
    """Nobody answers for a run that has ended."""
    if is_going(storage) or not storage.exists(request.file):
        return
    if _status(storage) == "running":
        raise RunError("the run was killed before it answered; it will carry the request out when resumed")
    storage.remove(request.file)
    raise RunError("the run has ended before it answered")


def _status(storage: Storage) -> str | None:
    status: str | None = about_run(storage).get("status")
    return status


def _stages(storage: Storage) -> dict[str, StageRun]:
    """The stages of the run, from its own copy of the config."""
    settings = _settings(storage)
    return stage_runs(settings.pipeline, stage_spaces(settings), settings.reduce, settings.searched())


def _settings(storage: Storage) -> Settings:
    file = storage.join(CONFIG)
    try:
        return settings_from(read_text(storage.read(CONFIG).decode(), file).root)
    except (AssertionError, TypeError, ValueError) as error:
        raise RunError(f"{file} is damaged: it holds no experiment; a resume writes it anew") from error


def _only(stages: Mapping[str, StageRun]) -> str:
    found = extendable(stages)
    if not found:
        raise RunError("no stage of the run has a search, or distributions to draw from")
    if len(found) > 1:
        raise RunError(f"which stage? give --stage with one of: {', '.join(found)}")
    return found[0]
