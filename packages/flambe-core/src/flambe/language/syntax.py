"""YAML syntax errors in plain words, each at the place where the reader should look."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from flambe.errors import ConfigError
from flambe.language.text import MAX_DEPTH, Mark, Text

Explanation: TypeAlias = "tuple[str, Mark]"

_LINK_IN_BRACKETS = re.compile(r"!(?:@|link|call)[ \t]+([^\s,\[\]{}'\"]+)\[([^\[\]]*)\]")
_NO_START = {
    "\t": "a tab cannot indent a line in YAML; use spaces",
    "@": "a value cannot start with '@'; quote it, or write '!@ stage.attribute' for a link",
    "`": "a value cannot start with '`'; quote it",
    "%": "a value cannot start with '%'; quote it",
}


def syntax_error(error: Any, text: Text) -> ConfigError:
    """What to raise for `error`, a `yaml.YAMLError` of either parser."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return text.refuse(f"this is not YAML: {error}")
    problem = error.problem or ""
    for part, explain in _EXPLANATIONS:
        if part in problem:
            message, mark = explain(error, text)
            break
    else:
        message = f"this is not YAML: {' '.join(filter(None, (error.context, problem)))}"
    return text.refuse(message, text.position(mark))


def _tab(error: Any, text: Text) -> Explanation:
    return _NO_START["\t"], error.problem_mark


def _cannot_start(error: Any, text: Text) -> Explanation:
    character = text.content[error.problem_mark.index : error.problem_mark.index + 1]
    return _NO_START.get(character, f"a value cannot start with {character!r}; quote it"), error.problem_mark


def _second_colon(error: Any, text: Text) -> Explanation:
    before = (text.line(error.problem_mark.line + 1) or "")[: error.problem_mark.column]
    if re.search(r":(\s|$)", before):
        return (
            "a second ': ' on this line; quote the value, or give the inner key its own line",
            error.problem_mark,
        )
    return (
        "wrong indentation, or a ':' without a space after it: the line above already has a value, "
        "so no key can follow inside it",
        error.problem_mark,
    )


def _no_colon(error: Any, text: Text) -> Explanation:
    mark = error.context_mark or error.problem_mark
    return "expected 'key: value' here; a ':' followed by a space is missing", mark


def _unclosed_quote(error: Any, text: Text) -> Explanation:
    mark = error.context_mark or error.problem_mark
    if "quoted" in (error.context or ""):
        return "this quote is never closed", mark
    return "the file ends too early", mark


def _unclosed_bracket(error: Any, text: Text) -> Explanation:
    mark = error.context_mark or error.problem_mark
    line = text.line(error.problem_mark.line + 1) or ""
    link = next((m for m in _LINK_IN_BRACKETS.finditer(line) if m.end(1) == error.problem_mark.column), None)
    if link:
        name, key = link.groups()
        quoted = f"'{name}[{key}]'"
        return f"inside brackets a link with '[' must be quoted: {quoted}", error.problem_mark
    bracket = text.content[mark.index : mark.index + 1]
    closing = "}" if "mapping" in (error.context or "") else "]"
    if bracket not in "[{":
        bracket = "{" if closing == "}" else "["
    if not text.content[error.problem_mark.index :].strip():
        return f"'{bracket}' is never closed", mark
    where = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return f"'{bracket}' is never closed: expected ',' or '{closing}' at {where}", mark


def _no_content(error: Any, text: Text) -> Explanation:
    found = text.content[error.problem_mark.index : error.problem_mark.index + 1]
    return f"expected a value{f', but found {found!r}' if found.strip() else ''}", error.problem_mark


def _no_key(error: Any, text: Text) -> Explanation:
    before = (text.line(error.problem_mark.line + 1) or "")[: error.problem_mark.column]
    if before.strip():
        return (
            "nothing can follow here: the value before it is complete; a quote may be missing",
            error.problem_mark,
        )
    found = text.content[error.problem_mark.index : error.problem_mark.index + 2]
    if found.strip() == "-":
        return "a list item among the keys of a mapping; indent it below its key", error.problem_mark
    return "wrong indentation: this line fits none of the levels above", error.problem_mark


def _no_dash(error: Any, text: Text) -> Explanation:
    return "expected '- ' here: this line stands in a list; check the indentation", error.problem_mark


def _nested_list(error: Any, text: Text) -> Explanation:
    return (
        "a list cannot start on the line of its key; start it on the next line, or use [ ]",
        error.problem_mark,
    )


def _no_document(error: Any, text: Text) -> Explanation:
    if text.content.startswith("%"):
        return "expected '---' after the directives", error.problem_mark
    return "wrong indentation: this line starts further left than the first", error.problem_mark


def _bad_anchor(error: Any, text: Text) -> Explanation:
    mark = error.context_mark or error.problem_mark
    sign = text.content[mark.index : mark.index + 1]
    return f"a value that starts with '{sign}' must be quoted", mark


def _unspaced_tag(error: Any, text: Text) -> Explanation:
    return "a space is missing after the tag", error.problem_mark


def _bad_escape(error: Any, text: Text) -> Explanation:
    mark = error.context_mark or error.problem_mark
    return "unknown escape after '\\' in double quotes; use single quotes for plain text", mark


def _bad_handle(error: Any, text: Text) -> Explanation:
    return "a tag has one '!', at its start", error.problem_mark


def _bad_block(error: Any, text: Text) -> Explanation:
    return "text after '|' or '>' starts on the next line", error.problem_mark


def _too_deep(error: Any, text: Text) -> Explanation:
    """The parser's own limit, which is higher: it may meet it while it looks ahead."""
    return f"nested more than {MAX_DEPTH} levels deep", error.problem_mark


_EXPLANATIONS: tuple[tuple[str, Callable[[Any, Text], Explanation]], ...] = (
    ("found a tab character", _tab),
    ("cannot start any token", _cannot_start),
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _no_colon),
    ("found unexpected end of stream", _unclosed_quote),
    ("found unexpected document", _unclosed_quote),
    ("expected ',' or", _unclosed_bracket),
    ("expected node content", _no_content),
    ("expected the node content", _no_content),
    ("did not find expected key", _no_key),
    ("expected '-' indicator", _no_dash),
    ("sequence entries are not allowed", _nested_list),
    ("expected <document start>", _no_document),
    ("expected '<document start>'", _no_document),
    ("expected <block end>", _no_key),
    ("expected alphabetic or numeric character", _bad_anchor),
    ("expected whitespace or line break", _unspaced_tag),
    ("found unknown escape character", _bad_escape),
    ("found undefined tag handle", _bad_handle),
    ("expected comment or line break", _bad_block),
    ("maximum nesting depth", _too_deep),
)
