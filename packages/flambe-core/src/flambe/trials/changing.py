"""New values for arguments of a trial that has begun: put into its config, and told to its stage."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from flambe.errors import CannotChangeError, ConfigError
from flambe.language import nodes
from flambe.language.links import Attribute, LinkSyntaxError, parse_link
from flambe.language.nodes import Entry, Node
from flambe.language.python import to_node
from flambe.language.walk import substitute
from flambe.registry.registry import Registry

NOT_GIVEN = inspect.Parameter.empty


@dataclass(frozen=True)
class Place:
    """Where a stage's config holds an argument.

    Attributes:
        holder: What the argument belongs to: an object to be built, a mapping or a list.
        step: Its name, key or index there.
        node: What the config gives for it; None where it is left to its default.
        default: That default, `NOT_GIVEN` where there is none.
    """

    holder: Node
    step: str | int
    node: Node | None
    default: Any = NOT_GIVEN


def changed(node: Node, changes: Mapping[str, Any], registry: Registry) -> Node:
    """A stage's `node` with the new values in it, in their order.

    A path is as in a link, without the stage: `optimizer.lr`, `layers[0].dropout`. It leads to arguments
    of objects, defaults included, to keys of mappings and indices of lists.

    Raises:
        CannotChangeError: the config has no such place, or it belongs to another stage.
    """
    for path, value in changes.items():
        try:
            new = to_node(value)
        except ConfigError as error:
            raise CannotChangeError(f"{path}: {error}") from error
        for place in places(node, path, registry):
            node = substitute(node, place.holder, _with(place, new, registry, path))
    return node


def places(node: Node, path: str, registry: Registry) -> list[Place]:
    """Where `path` leads in a stage's `node`: one place, or one in each option where it leads through one.

    Raises:
        CannotChangeError: the config has no such place, or it belongs to another stage.
    """
    steps = _steps(path)
    found = [_place(holder, steps[0], registry, path) for holder in _options(node)]
    for step in steps[1:]:
        inside = [(place, holder) for place in found for holder in _inside(place, path)]
        found = [_place(holder, step, registry, path) for _, holder in inside]
    return found


def tell(stage: Any, changes: Mapping[str, Any]) -> None:
    """Tell a stage of new values, in their order, through its method `change(path, value)`.

    Raises:
        CannotChangeError: it has no such method, or the method refuses one of them.
    """
    if not changes:
        return
    change = getattr(stage, "change", None)
    if not callable(change):
        raise CannotChangeError(
            f"{type(stage).__name__} has no method change(path, value), "
            "so nothing of it can change once it runs"
        )
    for path, value in changes.items():
        _tell(change, path, value)


def _tell(change: Callable[[str, Any], object], path: str, value: Any) -> None:
    try:
        change(path, value)
    except CannotChangeError:
        raise
    except (ValueError, TypeError) as error:
        raise CannotChangeError(f"{path} cannot become {value!r}: {error}") from error


def _steps(path: str) -> tuple[str | int, ...]:
    try:
        parsed = parse_link(path)
    except LinkSyntaxError as error:
        raise CannotChangeError(f"cannot read the path {path!r}: {error}") from None
    rest = (step.name if isinstance(step, Attribute) else step.key for step in parsed.steps)
    return parsed.root, *rest


def _options(node: Node) -> Iterator[Node]:
    """`node`, or what can be chosen for it."""
    match node:
        case nodes.Grid(options=options) | nodes.Distribution(name="choice", arguments=options):
            for option in options:
                yield from _options(option)
        case _:
            yield node


def _inside(place: Place, path: str) -> Iterator[Node]:
    if place.node is None:
        raise CannotChangeError(f"{path}: the config gives no {place.step!r} to go into")
    return _options(place.node)


def _place(holder: Node, step: str | int, registry: Registry, path: str) -> Place:
    match holder:
        case nodes.Build():
            return _argument(holder, step, registry, path)
        case nodes.Mapping(entries=entries):
            for entry in entries:
                if str(entry.key) == str(step):
                    return Place(holder, step, entry.value)
            hint = _hint(step, (str(entry.key) for entry in entries), "there is", "there is nothing")
            raise CannotChangeError(f"{path}: there is no {step!r}; {hint}")
        case nodes.Sequence(items=items):
            index = int(step) if str(step).lstrip("-").isdigit() else len(items)
            if not -len(items) <= index < len(items):
                raise CannotChangeError(f"{path}: there is no {step!r} in a list of {len(items)}")
            return Place(holder, index % len(items), items[index])
        case nodes.Link(path=target):
            raise CannotChangeError(
                f"{path}: it belongs to {target.root!r}, where the link !@ {target} leads"
            )
    raise CannotChangeError(f"{path}: there is nothing to go into at {step!r}")


def _argument(holder: nodes.Build, step: str | int, registry: Registry, path: str) -> Place:
    parameters = _parameters(holder, registry)
    given = _given(holder, tuple(parameters))
    name = tuple(given)[step] if isinstance(step, int) and 0 <= step < len(given) else step
    if name in given:
        return Place(holder, name, given[name])
    if name in parameters:
        return Place(holder, name, None, parameters[str(name)].default)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return Place(holder, name, None)
    hint = _hint(name, (str(known) for known in (*given, *parameters)), "it has", "it takes none")
    raise CannotChangeError(f"{path}: {holder.tag} has no argument {name!r}; {hint}")


def _parameters(holder: nodes.Build, registry: Registry) -> dict[str, inspect.Parameter]:
    signature = registry.resolve(holder.tag).signature()
    return {} if signature is None else dict(signature.parameters)


def _given(holder: nodes.Build, names: tuple[str, ...]) -> dict[str | int, Node]:
    """The arguments that the config gives, those by position under the names of their parameters."""
    match holder.arguments:
        case nodes.Mapping(entries=entries):
            return {str(entry.key): entry.value for entry in entries}
        case nodes.Sequence(items=items):
            return {(names[i] if i < len(names) else i): item for i, item in enumerate(items)}
        case None:
            return {}
        case only:
            return {names[0] if names else 0: only}


def _with(place: Place, new: Node, registry: Registry, path: str) -> Node:
    """The place's holder with `new` there."""
    holder = place.holder
    match holder:
        case nodes.Mapping(entries=entries):
            return replace(holder, entries=_set(entries, place.step, new))
        case nodes.Sequence(items=items):
            made = tuple(new if index == place.step else item for index, item in enumerate(items))
            return replace(holder, items=made)
        case nodes.Build(arguments=nodes.Mapping(entries=entries) as arguments):
            return replace(holder, arguments=replace(arguments, entries=_set(entries, place.step, new)))
        case nodes.Build():
            given = {**_given(holder, tuple(_parameters(holder, registry))), place.step: new}
            if all(isinstance(name, str) for name in given):
                named = tuple(Entry(name, value) for name, value in given.items())
                return replace(holder, arguments=nodes.Mapping(named))
    raise CannotChangeError(f"{path}: {place.step!r} cannot be added to what is given by position")


def _set(entries: tuple[Entry, ...], step: str | int, new: Node) -> tuple[Entry, ...]:
    if any(str(entry.key) == str(step) for entry in entries):
        return tuple(replace(e, value=new) if str(e.key) == str(step) else e for e in entries)
    return (*entries, Entry(step, new))


def _hint(step: str | int, known: Iterable[str], there_is: str, nothing: str) -> str:
    """What to say after a name that is not among the known ones."""
    names = sorted({name for name in known if name not in ("args", "kwargs", "self")})
    near = get_close_matches(str(step), names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{there_is} {', '.join(names)}" if names else nothing
