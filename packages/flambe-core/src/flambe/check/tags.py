"""The tags of a config looked up once each, with what is wrong with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flambe.check.annotations import is_inspectable
from flambe.check.nearest import listed
from flambe.errors import FlambeError

if TYPE_CHECKING:
    from flambe.language.header import HeaderEntry
    from flambe.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a tag builds with, or why it cannot."""

    target: Callable[..., Any] | None
    name: str
    fault: str | None = None


@dataclass
class Tags:
    """Looks tags up in a registry; never raises. Tags of `broken` aliases are unknown without a word."""

    registry: Registry
    broken: frozenset[str] = frozenset()
    _found: dict[str, Resolved] = field(default_factory=dict)

    def resolve(self, tag: str) -> Resolved:
        """What `!tag` builds with."""
        if tag not in self._found:
            self._found[tag] = self._resolve(tag)
        return self._found[tag]

    def _resolve(self, tag: str) -> Resolved:
        if tag.partition(".")[0] in self.broken:
            return Resolved(None, tag)
        try:
            target = self.registry.resolve(tag).callable
        except FlambeError as error:
            return Resolved(None, tag, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin border: importing runs code of others
            return Resolved(None, tag, f"!{tag} cannot be imported: {_said(error)}")
        if isinstance(target, type) and not is_inspectable(target):
            return Resolved(None, tag)
        return Resolved(target, _name(target, tag), _fault(target, tag))


def extension_fault(entry: HeaderEntry) -> str | None:
    """Why the module of a header's entry cannot be imported."""
    from flambe.registry import extensions

    try:
        extensions.load(entry)
    except FlambeError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs code of others
        return f"extension {entry.alias!r} cannot be imported: {_said(error)}"
    return None


def _said(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _name(target: Any, tag: str) -> str:
    if isinstance(target, type) or not hasattr(target, "__self__"):
        return str(getattr(target, "__name__", tag))
    return tag.rpartition(":")[2]


def _fault(target: Any, tag: str) -> str | None:
    if not callable(target):
        return f"!{tag} is a value of type {type(target).__name__}, not a class or function"
    if isinstance(target, type) and inspect.isabstract(target):
        methods = listed(sorted(getattr(target, "__abstractmethods__", ())))
        return f"{target.__name__} is abstract: it does not define {methods}; use one of its subclasses"
    if isinstance(target, type) and target.__dict__.get("_is_protocol", False):
        return f"{target.__name__} is a protocol, which cannot be built"
    return None
