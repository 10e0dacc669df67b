"""What each tag means: the tag table of the config language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from flambe.language import nodes
from flambe.language.distributions import DISTRIBUTIONS, InvalidNumbersError, check_distribution, check_draws
from flambe.language.links import LinkPath, LinkSyntaxError, parse_link
from flambe.language.nodes import Entry, Mapping, Node, Position, Scalar, Sequence, Unreadable

Report: TypeAlias = Callable[[str, "Position | None"], None]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag and what follows it.

    Attributes:
        tag: The text after the exclamation mark.
        content: What follows, read as if it had no tag; None where nothing follows.
        raw: The text of a scalar as written.
        position: Where the tag is.
        content_position: Where the content starts.
        report: Notes a problem at a place.
    """

    tag: str
    content: Node | None
    raw: str | None
    position: Position | None
    content_position: Position | None
    report: Report

    def reject(self, message: str, position: Position | None = None) -> Unreadable:
        self.report(message, position or self.position)
        return Unreadable(position=self.position)


def interpret(tagged: Tagged) -> Node:
    """The node that a tag and its content mean: one of the language's own, else an object to build."""
    special = _SPECIAL.get(tagged.tag)
    if special:
        return special(tagged)
    return nodes.Build(tagged.tag, tagged.content, position=tagged.position)


def is_option_list(tag: str | None) -> bool:
    """Whether the items of a list with this tag are options, which leave no trace in a config path."""
    return tag is not None and tag.removeprefix("!") in _OPTION_LISTS


def _grid(tagged: Tagged) -> Node:
    options = _options(tagged)
    return nodes.Grid(options, position=tagged.position) if options else _no_options(tagged)


def _choice(tagged: Tagged) -> Node:
    options = _options(tagged)
    return nodes.Distribution("choice", options, position=tagged.position) if options else _no_options(tagged)


def _options(tagged: Tagged) -> tuple[Node, ...]:
    return tagged.content.items if isinstance(tagged.content, Sequence) else ()


def _no_options(tagged: Tagged) -> Unreadable:
    if isinstance(tagged.content, Unreadable):
        return tagged.content
    return tagged.reject(f"'!{tagged.tag}' takes a list of one or more options, such as !{tagged.tag} [1, 2]")


def _draws(tagged: Tagged) -> Node:
    numbers = _numbers(tagged, ("low", "high", "k"))
    if numbers is None:
        return Unreadable(position=tagged.position)
    try:
        check_draws([number.value for number in numbers])
    except InvalidNumbersError as error:
        return tagged.reject(str(error), _place(numbers, error.index))
    return nodes.Draws(*(number.value for number in numbers), position=tagged.position)  # type: ignore[arg-type]  # checked


def _distribution(tagged: Tagged) -> Node:
    numbers = _numbers(tagged, DISTRIBUTIONS[tagged.tag].parameters)
    if numbers is None:
        return Unreadable(position=tagged.position)
    try:
        check_distribution(tagged.tag, [number.value for number in numbers])
    except InvalidNumbersError as error:
        return tagged.reject(str(error), _place(numbers, error.index))
    return nodes.Distribution(tagged.tag, numbers, position=tagged.position)


def _numbers(tagged: Tagged, parameters: tuple[str, ...]) -> tuple[Scalar, ...] | None:
    form = f"'!{tagged.tag}' takes a list of numbers: [{', '.join(parameters)}]"
    if not isinstance(tagged.content, Sequence):
        tagged.reject(form)
        return None
    for item in tagged.content.items:
        if not isinstance(item, Scalar):
            if not isinstance(item, Unreadable):
                tagged.reject(form, item.position)
            return None
    return tuple(item for item in tagged.content.items if isinstance(item, Scalar))


def _place(numbers: tuple[Scalar, ...], index: int | None) -> Position | None:
    return None if index is None else numbers[index].position


def _link(tagged: Tagged) -> Node:
    path = _link_path(tagged, tagged.raw, tagged.content_position, "stage.attribute")
    return nodes.Link(path, position=tagged.position) if path else Unreadable(position=tagged.position)


def _call(tagged: Tagged) -> Node:
    if isinstance(tagged.content, Mapping):
        return _call_with_arguments(tagged, tagged.content)
    path = _link_path(tagged, tagged.raw, tagged.content_position, "stage.object.method")
    return nodes.Link(path, True, position=tagged.position) if path else Unreadable(position=tagged.position)


def _call_with_arguments(tagged: Tagged, content: Mapping) -> Node:
    for entry in content.entries:
        if entry.key not in _CALL_KEYS:
            near = get_close_matches(str(entry.key), _CALL_KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            tagged.report(f"'!call' takes target, args and kwargs, not {entry.key!r}{hint}", entry.position)
    target = content.get("target")
    if isinstance(target, Unreadable):
        return Unreadable(position=tagged.position)
    text = target.value if isinstance(target, Scalar) else None
    place = target.position if target else tagged.position
    path = _link_path(tagged, text if isinstance(text, str) else None, place, "{target: stage.object.method}")
    args = content.get("args") or Sequence()
    kwargs = content.get("kwargs") or Mapping()
    if not isinstance(args, Sequence):
        return tagged.reject("args of '!call' must be a list", args.position)
    if not isinstance(kwargs, Mapping):
        return tagged.reject(
            "kwargs of '!call' must be a mapping of argument names to values", kwargs.position
        )
    if path is None or not _all_names(tagged, kwargs.entries):
        return Unreadable(position=tagged.position)
    return nodes.Link(path, True, args.items, kwargs.entries, position=tagged.position)


def _all_names(tagged: Tagged, kwargs: tuple[Entry, ...]) -> bool:
    for entry in kwargs:
        if not isinstance(entry.key, str):
            tagged.report(f"an argument's name is a text, not {entry.key!r}", entry.position)
            return False
    return True


def _link_path(tagged: Tagged, text: str | None, place: Position | None, form: str) -> LinkPath | None:
    if not text:
        tagged.report(
            f"'!{tagged.tag}' is followed by where it points, such as !{tagged.tag} {form}", tagged.position
        )
        return None
    try:
        return parse_link(text)
    except LinkSyntaxError as error:
        tagged.report(f"cannot read the link {text!r}: {error}", _shifted(place, error.offset))
        return None


def _shifted(place: Position | None, columns: int) -> Position | None:
    return Position(place.file, place.line, place.column + columns) if place else None


def _cluster(tagged: Tagged) -> Node:
    if not tagged.raw:
        return tagged.reject("'!cluster' is followed by a path on the cluster")
    return nodes.ClusterPath(tagged.raw, position=tagged.position)


def _environment(tagged: Tagged) -> Node:
    if not tagged.raw or "=" in tagged.raw or "\0" in tagged.raw:
        return tagged.reject("'!env' is followed by the name of an environment variable")
    return nodes.Environment(tagged.raw, position=tagged.position)


def _secret(tagged: Tagged) -> Node:
    section, _, key = (tagged.raw or "").rpartition(".")
    if not section or not key:
        return tagged.reject("'!secret' is followed by section.key, an entry of the secrets file")
    return nodes.Secret(section, key, position=tagged.position)


_CALL_KEYS = ("target", "args", "kwargs")
_OPTION_LISTS = frozenset({"g", "grid", "s", "choice", *DISTRIBUTIONS})
_SPECIAL: dict[str, Callable[[Tagged], Node]] = {
    "@": _link,
    "link": _link,
    "call": _call,
    "g": _grid,
    "grid": _grid,
    "s": _draws,
    "choice": _choice,
    **dict.fromkeys(DISTRIBUTIONS, _distribution),
    "cluster": _cluster,
    "env": _environment,
    "secret": _secret,
}
RESERVED_TAGS = frozenset(_SPECIAL)
"""Tags of the language itself, which no class can have."""
