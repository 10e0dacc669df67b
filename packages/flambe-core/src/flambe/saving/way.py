"""The way of a link: which parts of a save it really leads through.

A part's folder has the name of a constructor argument. A link takes an attribute of that name first, and
the attribute may be another object than the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambe.build.links import follow
from flambe.component import origin_of
from flambe.language.links import Attribute, Item, LinkPath, Step
from flambe.language.nodes import Link
from flambe.saving.tree import Part, Steps


def names_of(path: LinkPath) -> tuple[str, ...]:
    """The steps of a link, however they are written: `.model` and `[model]` are the same part."""
    return tuple(str(step.key if isinstance(step, Item) else step.name) for step in path.steps)


def leads_through(path: LinkPath, place: LinkPath) -> bool:
    """Whether `place` lies on the way to `path`, or is it."""
    return path.root == place.root and names_of(path)[: len(place.steps)] == names_of(place)


def extended(path: LinkPath, steps: Steps) -> LinkPath:
    """`path` and the steps to a part from there."""
    more = (
        Item(step) if isinstance(step, int) or not step.isidentifier() else Attribute(step) for step in steps
    )
    return LinkPath(path.root, (*path.steps, *more))


class Ways:
    """Says of the links in the configs of one saved object which of its parts they lead to.

    Args:
        at: The link that leads to a part, as the links in the configs name it.
    """

    def __init__(self, root: Part, at: Callable[[Part], LinkPath]) -> None:
        self._root = root
        self._at = at
        self._parts = {_names(part.steps): part for part in root.walk()}
        self._above = {child.steps: part for part in root.walk() for child in part.children}
        self._links: dict[tuple[str, ...], tuple[Link, Part]] = {}

    def note(self, link: Link, steps: Steps, owner: Part) -> None:
        """`link` is an argument of `owner`, at `steps` from the saved object."""
        self._links[_names(steps)] = link, owner

    def is_linked(self, part: Part) -> bool | None:
        """Whether links by its name, through the part above it, lead to it; None if that is not known."""
        above = self._above.get(part.steps)
        return None if above is None else leads_to(above.value, _between(above, part), part.value)

    def to(self, steps: Steps) -> LinkPath:
        """The link that leads to the part at `steps`: by `[name]` where `.name` may be something else."""
        path = self._at(self._root)
        for count in range(1, len(steps) + 1):
            part = self._parts.get(_names(steps[:count]))
            if part is None:
                continue
            more = _between(self._above[part.steps], part)
            if not self.is_linked(part):
                more = tuple(Item(step.name) if isinstance(step, Attribute) else step for step in more)
            path = LinkPath(path.root, (*path.steps, *more))
        return path

    def without_links(self, path: LinkPath, owner: Part) -> LinkPath:
        """Where the link at `path` of `owner` took an argument that is a link: that link's path, extended."""
        around = self._around(path, owner)
        if around is None:
            return path
        for count in range(len(self._at(around).steps) + 1, len(path.steps) + 1):
            given = self._links.get(self._names_to(around, path, count))
            if given is not None and given[1] is around and not given[0].call:
                linked = given[0].path
                return self.without_links(LinkPath(linked.root, (*linked.steps, *path.steps[count:])), around)
        return path

    def deepest(self, path: LinkPath, owner: Part) -> tuple[Part, tuple[Step, ...]] | None:
        """The deepest part that the link at `path` of `owner` leads through, and the steps from there."""
        around = self._around(path, owner)
        start = best = around or self._highest_on(path)
        if start is None or best is None:
            return None
        taken = len(self._at(start).steps)
        for count in range(taken + 1, len(path.steps) + 1):
            below = self._parts.get(self._names_to(start, path, count))
            if below is None:
                continue
            if best is not around and not leads_to(best.value, path.steps[taken:count], below.value):
                break
            best, taken = below, count
        more = path.steps[taken:]
        return best, _by_argument(best.value, more) if best is around else more

    def _around(self, path: LinkPath, owner: Part) -> Part | None:
        """The part that was still being built when the link was followed, so that it gave its argument."""
        names = _names(owner.steps)
        above = (self._parts.get(names[:count]) for count in range(len(names), -1, -1))
        return next(
            (part for part in above if part is not None and leads_through(path, self._at(part))), None
        )

    def _highest_on(self, path: LinkPath) -> Part | None:
        on_way = (part for part in self._parts.values() if leads_through(path, self._at(part)))
        return min(on_way, key=lambda part: len(self._at(part).steps), default=None)

    def _names_to(self, part: Part, path: LinkPath, count: int) -> tuple[str, ...]:
        """The names, from the saved object on, of what `count` steps of `path` lead to through `part`."""
        return (*_names(part.steps), *names_of(path)[len(self._at(part).steps) : count])


def leads_to(owner: object, steps: Sequence[Step], part: object) -> bool | None:
    """Whether a link's `steps`, taken from the live `owner`, lead to `part` itself.

    None where a property would have to be asked: it may compute for long, and change its object.
    """
    first = steps[0]
    if isinstance(first, Attribute) and origin_of(owner) is not None and _is_computed(owner, first.name):
        return None
    try:
        return follow(owner, LinkPath("", tuple(steps))) is part
    except Exception:  # noqa: BLE001 - the border to user code: a __getattr__
        return False


def _is_computed(owner: Any, name: str) -> bool:
    """Whether the class decides what the attribute is, and not the object's own entry of that name."""
    found = next((vars(cls)[name] for cls in type(owner).__mro__ if name in vars(cls)), None)
    return hasattr(found, "__get__") and (hasattr(found, "__set__") or name not in vars(owner))


def _by_argument(owner: object, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """`steps` from an object that was under construction: the first took the argument, not an attribute."""
    origin = origin_of(owner)
    first = steps[0] if steps else None
    if origin is None or not isinstance(first, Attribute) or first.name not in origin.arguments:
        return steps
    return Item(first.name), *steps[1:]


def _names(steps: Steps) -> tuple[str, ...]:
    return tuple(map(str, steps))


def _between(above: Part, part: Part) -> tuple[Step, ...]:
    return extended(LinkPath(""), part.steps[len(above.steps) :]).steps
