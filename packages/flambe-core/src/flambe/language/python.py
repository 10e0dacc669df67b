"""Nodes from Python: what a config file writes as tags, as functions."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingABC
from typing import Any, TypeAlias

from flambe.errors import ConfigError, Problem
from flambe.language import nodes
from flambe.language.distributions import InvalidNumbersError, check_distribution, check_draws
from flambe.language.links import LinkPath, LinkSyntaxError, parse_link
from flambe.language.nodes import (
    Build,
    Distribution,
    Draws,
    Entry,
    Grid,
    Link,
    Mapping,
    Node,
    Scalar,
    Sequence,
)

Buildable: TypeAlias = "str | Callable[..., Any]"
_MAX_DEPTH = 100


def stage(what: Buildable, /, *args: Any, **kwargs: Any) -> Build:
    """What to build: a class, a function, a classmethod or a tag, with its arguments.

    Arguments are plain values, lists, dicts, classes (built without arguments) and other nodes.

    Example:
        >>> stage("torch.Adam", params=link("train.model.params"), lr=grid([0.1, 0.01])).tag
        'torch.Adam'

    Raises:
        ConfigError: if an argument is nothing that a config can hold.
    """
    if args and kwargs:
        args, kwargs = (), _all_named(what, args, kwargs)
    tag = what if isinstance(what, str) else tag_of(what)
    if kwargs:
        return Build(tag, to_node(kwargs))
    return Build(tag, to_node(args) if args else None)


def link(path: str) -> Link:
    """`!@ path`: a value of an earlier stage, of this stage, or a resource.

    Raises:
        ConfigError: if `path` cannot be parsed.
    """
    return Link(_link_path(path))


def call(path: str, /, *args: Any, **kwargs: Any) -> Link:
    """`!call path`: what the method or function at `path` returns for the arguments.

    Raises:
        ConfigError: if `path` cannot be parsed, or an argument is nothing that a config can hold.
    """
    given = tuple(Entry(name, to_node(value)) for name, value in kwargs.items())
    return Link(_link_path(path), True, tuple(to_node(arg) for arg in args), given)


def grid(options: Iterable[Any]) -> Grid:
    """`!g options`: each is tried.

    Raises:
        ConfigError: if there are none, or one is nothing that a config can hold.
    """
    return Grid(_options("grid", options))


def choice(options: Iterable[Any]) -> Distribution:
    """`!choice options`: each draw is one of them.

    Raises:
        ConfigError: if there are none, or one is nothing that a config can hold.
    """
    return Distribution("choice", _options("choice", options))


def sample(low: float, high: float, k: int, decimals: int | None = None) -> Draws:
    """`!s [low, high, k]`: k values drawn between two numbers, integers if both are.

    Raises:
        ConfigError: if the numbers make no sense.
    """
    numbers = (low, high, k) if decimals is None else (low, high, k, decimals)
    try:
        check_draws(numbers)
    except InvalidNumbersError as error:
        raise _wrong(str(error)) from None
    return Draws(low, high, k, decimals)


def uniform(low: float, high: float) -> Distribution:
    """`!uniform [low, high]`: every number between them is as likely."""
    return _distribution("uniform", low, high)


def loguniform(low: float, high: float) -> Distribution:
    """`!loguniform [low, high]`: the logarithm is uniform."""
    return _distribution("loguniform", low, high)


def quniform(low: float, high: float, q: float) -> Distribution:
    """`!quniform [low, high, q]`: uniform, rounded to multiples of `q`."""
    return _distribution("quniform", low, high, q)


def randint(low: int, high: int) -> Distribution:
    """`!randint [low, high]`: an integer from `low` to `high - 1`."""
    return _distribution("randint", low, high)


def lograndint(low: int, high: int) -> Distribution:
    """`!lograndint [low, high]`: an integer from `low` to `high - 1`, its logarithm uniform."""
    return _distribution("lograndint", low, high)


def normal(mean: float, sd: float) -> Distribution:
    """`!normal [mean, sd]`: a normal distribution with this mean and standard deviation."""
    return _distribution("normal", mean, sd)


def env(name: str) -> nodes.Environment:
    """`!env name`: an environment variable, read when a trial is built and never written.

    Raises:
        ConfigError: if no variable can have this name.
    """
    if not name or "=" in name or "\0" in name:
        raise _wrong(f"an environment variable cannot be named {name!r}")
    return nodes.Environment(name)


def secret(entry: str) -> nodes.Secret:
    """`!secret section.key`: an entry of the secrets file, read when a trial is built and never written.

    Raises:
        ConfigError: if `entry` is not `section.key`.
    """
    section, _, key = entry.rpartition(".")
    if not section or not key:
        raise _wrong(f"a secret is 'section.key', not {entry!r}")
    return nodes.Secret(section, key)


def cluster(path: str) -> nodes.ClusterPath:
    """`!cluster path`: a resource that already lies on the cluster."""
    return nodes.ClusterPath(path)


def to_node(value: Any) -> Node:
    """`value` as a node: itself if it is one, else a plain value, a list, a mapping or a class to build.

    Raises:
        ConfigError: naming the type of what a config cannot hold.
    """
    return _to_node(value, 0)


def tag_of(what: Callable[..., Any]) -> str:
    """The tag that imports `what`: `package.module:Class`, `package.module:Class.factory`.

    Raises:
        ConfigError: if it has no name at the top of a module.
    """
    owner = getattr(what, "__self__", None)
    if inspect.ismethod(what) and isinstance(owner, type):
        return f"{tag_of(owner)}.{what.__name__}"
    module, name = getattr(what, "__module__", None), getattr(what, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise _wrong(f"a {type(what).__name__} is no class or function that a config can name")
    if "<" in name:
        raise _wrong(f"{name!r} is defined inside a function; a config can only name what a module holds")
    return f"{module}:{name}"


def _to_node(value: Any, depth: int) -> Node:
    if isinstance(value, Node):
        return value
    if depth > _MAX_DEPTH:
        raise _wrong(f"nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, MappingABC):
        return Mapping(tuple(Entry(_key(key), _to_node(v, depth + 1)) for key, v in value.items()))
    if isinstance(value, (list, tuple)):
        return Sequence(tuple(_to_node(item, depth + 1) for item in value))
    if isinstance(value, type) or inspect.isroutine(value):
        return Build(tag_of(value))
    return Scalar(_plain(value))


def _plain(value: Any) -> nodes.Plain:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return _encodable(kind(value) if type(value) is not kind else value)
    raise _wrong(f"a config cannot hold a value of type {type(value).__module__}.{type(value).__qualname__}")


def _encodable(value: int | float | str) -> nodes.Plain:
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise _wrong(f"a config is UTF-8 text and cannot hold {value!r}")
    return value


def _key(key: Any) -> nodes.Key:
    if key is None or isinstance(key, (str, int, float)):
        return _plain(key)
    raise _wrong(f"a key is a plain value, not a {type(key).__name__}")


def _options(function: str, options: Iterable[Any]) -> tuple[Node, ...]:
    if isinstance(options, (str, bytes, MappingABC)):
        raise _wrong(f"{function} takes a list of options, not a {type(options).__name__}")
    made = tuple(to_node(option) for option in options)
    if not made:
        raise _wrong(f"{function} takes one or more options")
    return made


def _distribution(name: str, *numbers: float) -> Distribution:
    try:
        check_distribution(name, numbers)
    except InvalidNumbersError as error:
        raise _wrong(str(error)) from None
    return Distribution(name, tuple(Scalar(number) for number in numbers))


def _link_path(text: str) -> LinkPath:
    try:
        return parse_link(text)
    except LinkSyntaxError as error:
        raise _wrong(f"cannot read the link {text!r}: {error}") from None


def _all_named(what: Buildable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    name = what if isinstance(what, str) else getattr(what, "__qualname__", str(what))
    message = f"{name!r} has positional and named arguments"
    if isinstance(what, str):
        raise _wrong(f"{message}; name them all")
    try:
        signature = inspect.signature(what)
        bound = signature.bind_partial(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise _wrong(f"{message}; name them all ({error})") from None
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if kinds[name] is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kinds[name] in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
            raise _wrong(f"{message}, and {name!r} cannot be named")
        else:
            named[name] = value
    return named


def _wrong(message: str) -> ConfigError:
    return ConfigError([Problem(message)])
