"""Where an extension comes from: an import path, a folder, a git repository or a package index."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ImportPath:
    """A module that is already installed."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder that pip can install; `path` is absolute."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Git:
    """A git repository, at a branch, tag or commit, and a folder inside it."""

    url: str
    ref: str | None = None
    subfolder: str | None = None

    def __str__(self) -> str:
        ref = f"@{self.ref}" if self.ref else ""
        subfolder = f"#subdirectory={self.subfolder}" if self.subfolder else ""
        return f"git+{self.url}{ref}{subfolder}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What pip installs from a package index."""

    text: str

    def __str__(self) -> str:
        return self.text


Source: TypeAlias = ImportPath | Folder | Git | Requirement


class SourceError(ValueError):
    """A text that names no source of an extension."""


_IMPORT_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_SCHEME = re.compile(r"(?:git\+)?(https?|ssh|git|file)://", re.ASCII)
_GIT_PLUS = "git+"
_SHORT_SSH = re.compile(r"(?P<host>[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*):(?P<path>[^\\]+)\Z", re.ASCII)
_HOST_WITHOUT_SCHEME = re.compile(r"(?:www\.)?(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org)/")
_GITHUB_FOLDER = re.compile(
    r"https?://(?:www\.)?github\.com/(?P<owner>[^/#@]+)/(?P<repo>[^/#@]+)/tree/(?P<ref>[^/#]+)(?:/(?P<folder>[^#]*))?\Z"
)
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ARCHIVES = (".zip", ".whl", ".tar.gz", ".tgz", ".tar.bz2")
_FORMS = (
    "a source is a dotted import path, a folder, a git URL (https://host/owner/repo@ref#subdirectory=folder) "
    "or a requirement (name==1.0)"
)


def parse_source(text: str, base_folder: str) -> Source:
    """The source that `text` names; folders are seen from `base_folder`.

    Raises:
        SourceError: `text` names none.
    """
    text = text.strip()
    if not text:
        raise SourceError(f"the source is missing; {_FORMS}")
    if _IMPORT_PATH.match(text):
        return ImportPath(text)
    if text.startswith(_GIT_PLUS) or _SCHEME.match(text) or _SHORT_SSH.match(text):
        return _git(text)
    if _HOST_WITHOUT_SCHEME.match(text):
        return _git(f"https://{text}")
    if _is_folder(text):
        return Folder(_absolute(text, base_folder))
    return _requirement(text)


def _is_folder(text: str) -> bool:
    if _WINDOWS_DRIVE.match(text) or text in (".", "..", "~"):
        return True
    return ("/" in text or "\\" in text) and "://" not in text


def _absolute(text: str, base_folder: str) -> str:
    if _WINDOWS_DRIVE.match(text) or text.startswith("\\\\"):
        return text
    if os.sep == "/":
        text = text.replace("\\", "/")
    return os.path.abspath(os.path.join(base_folder, os.path.expanduser(text)))


def _git(text: str) -> Git:
    github = _GITHUB_FOLDER.match(text.rstrip("/"))
    if github:
        url = f"https://github.com/{github['owner']}/{github['repo']}"
        return _checked(Git(url, github["ref"], github["folder"] or None), text)
    address, _, fragment = text.removeprefix(_GIT_PLUS).partition("#")
    if address.endswith(_ARCHIVES):
        raise SourceError(f"{text!r} is an archive, not a git repository; write 'name @ {address}'")
    url, ref = _split_ref(address)
    options = dict(part.partition("=")[::2] for part in fragment.split("&") if part)
    return _checked(Git(url.rstrip("/"), ref, options.get("subdirectory") or None), text)


def _split_ref(address: str) -> tuple[str, str | None]:
    """`…/repo@ref` in two; an '@' before the path names a user, not a ref."""
    scheme = _SCHEME.match(address)
    short = _SHORT_SSH.match(address)
    if scheme:
        path_at = address.find("/", scheme.end())
    elif short:
        path_at = short.start("path")
    else:
        raise SourceError(f"{address!r} is no git URL; {_FORMS}")
    at = address.find("@", path_at) if path_at >= 0 else -1
    if path_at < 0 or not address[path_at:].strip("/"):
        raise SourceError(f"{address!r} names no repository; {_FORMS}")
    return (address, None) if at < 0 else (address[:at], address[at + 1 :])


def _checked(source: Git, text: str) -> Git:
    if source.ref is not None and (not source.ref or source.ref.startswith("-")):
        raise SourceError(f"{text!r}: a branch, tag or commit must follow '@'")
    folder = source.subfolder or ""
    if folder.startswith(("/", "-", "~")) or ".." in folder.split("/"):
        raise SourceError(f"{text!r}: the subfolder must lie inside the repository")
    return source


def _requirement(text: str) -> Requirement:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        Parsed(text)
    except InvalidRequirement:
        raise SourceError(f"{text!r} is no source of an extension; {_FORMS}") from None
    return Requirement(text)
