"""What all plugins registered, indexed by name; nothing here imports what was registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from flambe.errors import PluginError
from flambe.registry.plugins import KINDS, Brought, Namespace, Registration


class Catalogue:
    """Registrations by kind and name. That two plugins claim one name is an error when it is asked for."""

    def __init__(self, brought: Brought) -> None:
        self.namespaces: Sequence[Namespace] = brought.namespaces
        self._tags = _by_name(brought.tags)
        self._others = {kind: _by_name(brought.others[kind]) for kind in KINDS}

    def tag(self, name: str) -> Registration | None:
        """The plugins' tag of this name.

        Raises:
            PluginError: if two plugins register it for different targets.
        """
        return _only(self._tags.get(name, []), f"tag {name!r}", self._written_out)

    def qualified_tag(self, plugin: str, name: str) -> Registration | None:
        """The tag `name` as the plugin named `plugin` registers it: `!plugin.name`."""
        own = [registration for registration in self._tags.get(name, []) if registration.plugin == plugin]
        return _only(own, f"tag '{plugin}.{name}'", lambda _: "")

    def tag_names(self) -> Iterator[str]:
        """Every tag in the form that reads back: `plugin.Tag` where two plugins claim the bare one."""
        return (name for name, _ in self.tags())

    def tags(self) -> Iterator[tuple[str, Registration]]:
        """The names of `tag_names`, each with its registration."""
        for name, registrations in self._tags.items():
            contested = _distinct(registrations) > 1
            for registration in registrations if contested else registrations[:1]:
                yield f"{registration.plugin}.{name}" if contested else name, registration

    def everything(self) -> Iterator[Registration]:
        """Every registration of every kind."""
        for by_name in (self._tags, *self._others.values()):
            for registrations in by_name.values():
                yield from registrations

    def of_kind(self, kind: str, name: str) -> Registration | None:
        """The registration of this kind and name, such as `executors`, `local`.

        Raises:
            PluginError: if two plugins register it for different targets.
        """
        return _only(self._others[kind].get(name, []), f"{name!r} of {kind}", lambda _: "")

    def all_of_kind(self, kind: str) -> Iterator[Registration]:
        """Every registration of this kind, in the order of the plugins."""
        for registrations in self._others[kind].values():
            yield from registrations

    def names_of_kind(self, kind: str) -> list[str]:
        return sorted(self._others[kind])

    def _written_out(self, registrations: Sequence[Registration]) -> str:
        forms = sorted({f"!{registration.plugin}.{registration.name}" for registration in registrations})
        return f"; write {' or '.join(forms)}"


def _by_name(registrations: Iterable[Registration]) -> dict[str, list[Registration]]:
    by_name: dict[str, list[Registration]] = {}
    for registration in registrations:
        by_name.setdefault(registration.name, []).append(registration)
    return by_name


def _distinct(registrations: Sequence[Registration]) -> int:
    return len({registration.target for registration in registrations})


def _only(
    registrations: Sequence[Registration], what: str, advice: Callable[[Sequence[Registration]], str]
) -> Registration | None:
    if not registrations:
        return None
    if _distinct(registrations) > 1:
        owners = " and by ".join(str(r.provider) for r in registrations)
        raise PluginError(f"{what} is registered by {owners}{advice(registrations)}")
    return registrations[0]
