"""The `resources` of an experiment: names for files that stages link to."""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import fsspec
from platformdirs import user_cache_path

from flambe.errors import RunError
from flambe.language import nodes
from flambe.language.nodes import Node


def locate(resources: Mapping[str, Node], *, folder: Path) -> dict[str, str]:
    """Where each resource lies: local paths made absolute, URLs and cluster paths as they are.

    A relative path is looked up in the working folder, then in `folder`, the config's own.

    Raises:
        RunError: a local file is not there.
    """
    return {name: _locate(name, node, folder) for name, node in resources.items()}


def local_path(location: str) -> str:
    """A path on this machine for a resource: a URL is fetched once, as often as it changes there.

    Raises:
        RunError: it cannot be fetched.
    """
    if "://" not in location:
        return location
    try:
        return _fetched(location)
    except (OSError, ValueError, ImportError) as error:
        raise RunError(f"the resource {location} cannot be fetched: {error}") from error


def _locate(name: str, node: Node, folder: Path) -> str:
    if isinstance(node, nodes.ClusterPath):
        return node.path
    assert isinstance(node, nodes.Scalar)
    location = str(node.value)
    if "://" in location:
        return location
    for base in (Path.cwd(), folder):
        found = (base / Path(location).expanduser()).resolve()
        if found.exists():
            return str(found)
    raise RunError(f"resources.{name}: there is no file {location}; give its path, or a URL")


def _fetched(url: str) -> str:
    system, path = fsspec.core.url_to_fs(url)
    state = f"{url}\0{system.ukey(path) if system.isfile(path) else ''}"
    key = hashlib.sha256(state.encode()).hexdigest()[:16]
    place = user_cache_path("flambe") / "resources" / key / (posixpath.basename(path.rstrip("/")) or "root")
    if not place.exists():
        aside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            system.get(path, str(aside), recursive=system.isdir(path))
            os.replace(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            aside.unlink(missing_ok=True)
    return str(place)
