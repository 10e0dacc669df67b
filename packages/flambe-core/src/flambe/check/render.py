"""Problems for people (with the line and a caret) and for editors (JSON)."""

from __future__ import annotations

import json as _json
import unicodedata
from collections.abc import Iterable

from flambe.errors import Problem

_BOLD, _RED, _YELLOW, _DIM, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


def text(problems: Iterable[Problem], *, color: bool = False) -> str:
    """One block for each problem: place, config path and message, then the source line with a caret."""
    return "\n".join(_block(problem, color=color) for problem in problems)


def json(problems: Iterable[Problem]) -> str:
    """A list of objects with file, line, column, path, severity, message and source."""
    rows = [
        {
            "file": problem.position.file if problem.position else None,
            "line": problem.position.line if problem.position else None,
            "column": problem.position.column if problem.position else None,
            "path": problem.path,
            "severity": problem.severity,
            "message": problem.message,
            "source": problem.source,
        }
        for problem in problems
    ]
    return _json.dumps(rows, indent=2, ensure_ascii=False)


def _block(problem: Problem, *, color: bool) -> str:
    where = f"{problem.position}  " if problem.position else ""
    path = f"{problem.path}: " if problem.path else ""
    warning = "warning: " if problem.severity == "warning" else ""
    caret = "^"
    if color:
        tint = _YELLOW if warning else _RED
        caret = f"{tint}{_BOLD}^{_RESET}"
        where, path = f"{_DIM}{where}{_RESET}" if where else "", f"{_BOLD}{path}{_RESET}" if path else ""
        message = f"{tint}{warning}{problem.message}{_RESET}"
    else:
        message = warning + problem.message
    return "\n".join([where + path + message, *_quote(problem, caret)])


def _quote(problem: Problem, caret: str) -> list[str]:
    at, source = problem.position, problem.source
    if at is None or source is None or not source.strip():
        return []
    indent = "".join(map(_blank, source[: at.column - 1]))
    return [f"    {source}", f"    {indent}{caret}"]


def _blank(character: str) -> str:
    """What takes as much room as `character` in a terminal."""
    if character == "\t":
        return character
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
