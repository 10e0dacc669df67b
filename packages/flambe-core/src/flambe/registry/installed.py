"""Installed distributions and their entry points, read without `importlib.metadata` where possible.

Importing `importlib.metadata` (it needs `email` and `zipfile`) costs a third of what `flambe --help` may
cost. Installed distributions are folders `*.dist-info` on `sys.path`, so those are read directly; archives
and custom finders are left to the standard library.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_METADATA = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}


@dataclass(frozen=True, slots=True, order=True)
class EntryPoint:
    """`name = value` of one distribution's entry points."""

    name: str
    distribution: str
    value: str
    version: str


def find_entry_points(group: str) -> list[EntryPoint]:
    """The entry points of `group`, sorted by name, then distribution.

    Where two folders of `sys.path` hold one distribution, the first counts, as it does for imports.
    """
    found: dict[str, list[EntryPoint]] = {}
    for folder in map(_absolute, sys.path):
        for distribution, points in _in_folder(folder, group):
            found.setdefault(distribution, points)
    if _needs_standard_library():
        for distribution, points in _by_standard_library(group):
            found.setdefault(distribution, points)
    return sorted(point for points in found.values() for point in points)


def find_distribution(name: str) -> tuple[str, str] | None:
    """The name and version of the installed distribution `name`, however it is spelt, or None."""
    wanted = _normalized(name)
    for folder in map(_absolute, sys.path):
        for stem, where, suffix in _distributions(folder):
            if stem == wanted:
                headers = _headers(_read(os.path.join(where, _METADATA[suffix])))
                return headers.get("name", name), headers.get("version", "")
    return None


def _absolute(entry: str) -> str:
    return entry or os.curdir


def _in_folder(folder: str, group: str) -> Iterator[tuple[str, list[EntryPoint]]]:
    for name, where, suffix in _distributions(folder):
        yield name, _in_distribution(where, suffix, group)


def _distributions(folder: str) -> Iterator[tuple[str, str, str]]:
    """The normalized name, folder and kind of each distribution that `folder` holds."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix in _METADATA:
            yield _normalized(stem.split("-")[0]), os.path.join(folder, name), suffix


def _in_distribution(folder: str, suffix: str, group: str) -> list[EntryPoint]:
    lines = list(_section(_read(os.path.join(folder, "entry_points.txt")), group))
    if not lines:
        return []
    headers = _headers(_read(os.path.join(folder, _METADATA[suffix])))
    distribution, version = headers.get("name", "unknown"), headers.get("version", "")
    return [EntryPoint(name, distribution, value, version) for name, value in lines]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    inside = False
    for line in map(str.strip, text.splitlines() if group in text else ()):
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.split("[")[0].strip()


def _headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon:
            headers.setdefault(key.lower(), value.strip())
    return headers


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs_standard_library() -> bool:
    finders = [f for f in sys.meta_path if hasattr(f, "find_distributions")]
    return len(finders) > 1 or any(os.path.isfile(entry) for entry in sys.path)


def _by_standard_library(group: str) -> Iterator[tuple[str, list[EntryPoint]]]:
    from importlib import metadata

    for distribution in metadata.distributions():
        points = [
            EntryPoint(point.name, distribution.metadata["Name"], point.value, distribution.version)
            for point in distribution.entry_points
            if point.group == group
        ]
        if points:
            yield _normalized(points[0].distribution), points
