"""Git repositories that extensions come from, cloned once and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flambe.errors import ExtensionError

if TYPE_CHECKING:
    from flambe.language.header import Git

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}\Z")
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",  # a missing password is an error, not a question
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # no `ext::`, which would run a command
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit of a repository, laid out in `folder` (the subfolder, if one was asked for)."""

    folder: Path
    commit: str


def check_out(source: Git, cache: Path) -> Checkout:
    """The commit that `source` names, laid out in a clone inside `cache`.

    The remote is asked only if the clone is new or `source` names a branch (or nothing): a commit or a tag
    that is there already does not move.

    Raises:
        ExtensionError: git fails, or the repository has no such ref or folder.
    """
    clone = cache / hashlib.sha256(source.url.encode()).hexdigest()[:16]
    if not clone.exists():
        _clone(source.url, clone)
    elif source.ref is None or _fixed(clone, source.ref) is None:
        _git(clone, "fetch", "--quiet", "--prune", "--tags", "--force", "origin")
        _git(clone, "remote", "set-head", "origin", "--auto")
    for ref, subfolder in _readings(source):
        commit = _commit(clone, ref)
        if commit is not None:
            _git(clone, "checkout", "--quiet", "--force", "--detach", commit)
            _git(clone, "clean", "--quiet", "-d", "-x", "--force")
            return Checkout(_inside(clone, subfolder, source), commit)
    raise ExtensionError(f"{source.url} has no branch, tag or commit {source.ref!r}")


def _clone(url: str, clone: Path) -> None:
    """Clones aside and renames, so that a clone is there whole or not at all."""
    aside = clone.with_name(f"{clone.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    _git(None, "clone", "--quiet", "--no-checkout", "--", url, str(aside))
    aside.rename(clone)


def _readings(source: Git) -> Iterator[tuple[str | None, str]]:
    """The ref and folder; then, as a branch may hold a slash, with parts of the folder moved to the ref."""
    parts = PurePosixPath(source.subfolder or "").parts
    if source.ref is None:
        yield None, source.subfolder or ""
        return
    for count in range(len(parts) + 1):
        yield "/".join((source.ref, *parts[:count])), "/".join(parts[count:])


def _commit(clone: Path, ref: str | None) -> str | None:
    if ref is None:
        return _verified(clone, "refs/remotes/origin/HEAD")
    return _verified(clone, f"refs/remotes/origin/{ref}") or _fixed(clone, ref)


def _fixed(clone: Path, ref: str) -> str | None:
    """The commit of a ref that does not move: a tag or a commit; None for a branch or what is not there."""
    if _verified(clone, f"refs/remotes/origin/{ref}"):
        return None
    tagged = _verified(clone, f"refs/tags/{ref}")
    return tagged or (_verified(clone, ref) if _COMMIT.match(ref) else None)


def _verified(clone: Path, ref: str) -> str | None:
    done = _run(clone, "rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")
    return done.stdout.strip() if done.returncode == 0 else None


def _inside(clone: Path, subfolder: str, source: Git) -> Path:
    folder = (clone / subfolder).resolve()
    if not folder.is_relative_to(clone.resolve()) or not folder.is_dir():
        where = repr(source.ref) if source.ref else "its default branch"
        raise ExtensionError(f"{source.url} has no folder {subfolder!r} at {where}")
    return folder


def _git(clone: Path | None, *arguments: str) -> None:
    done = _run(clone, *arguments)
    if done.returncode:
        raise ExtensionError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")


def _run(clone: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = [] if clone is None else ["-C", str(clone)]
    try:
        return subprocess.run(  # noqa: S603 - the arguments are ours, the URL follows `--`
            ["git", *where, *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **_ENVIRONMENT},
        )
    except FileNotFoundError:
        raise ExtensionError("git is not installed, and the header names a git repository") from None
