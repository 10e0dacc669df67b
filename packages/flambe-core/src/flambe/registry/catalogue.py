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

    def qualified_tag(self, owner: str, name: str) -> Registration | None:
        """The tag `name` as the plugin, or else the distribution, called `owner` registers it: `!owner.name`.

        Raises:
            PluginError: if two plugins called `owner` register it for different targets.
        """
        registrations = self._tags.get(name, [])
        own = [one for one in registrations if one.plugin == owner]
        own = own or [one for one in registrations if one.provider.distribution == owner]
        return _only(own, f"tag '{owner}.{name}'", self._written_out)

    def tag_names(self) -> Iterator[str]:
        """Every tag in the form that reads back: `plugin.Tag` where two plugins claim the bare one."""
        return (name for name, _ in self.tags())

    def tags(self) -> Iterator[tuple[str, Registration]]:
        """The names of `tag_names`, each with its registration."""
        for name, registrations in self._tags.items():
            if _distinct(registrations) == 1:
                yield name, registrations[0]
            else:
                yield from ((_qualified(one, registrations), one) for one in registrations)

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
        forms = sorted({f"!{_qualified(one, registrations)}" for one in registrations})
        return f"; write {' or '.join(forms)}"


def _qualified(registration: Registration, rivals: Sequence[Registration]) -> str:
    """`plugin.Tag`; `distribution.Tag` where plugins of one name claim the tag."""
    namesakes = [one for one in rivals if one.plugin == registration.plugin]
    owner = registration.plugin if _distinct(namesakes) == 1 else registration.provider.distribution
    return f"{owner}.{registration.name}"


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
