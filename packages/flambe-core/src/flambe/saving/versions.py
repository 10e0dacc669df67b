"""`version.txt`: the class of a saved part, its opt-in version, and where its config had it."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

from flambe.errors import DamagedSaveError, SavingError, VersionError
from flambe.language.links import LinkPath, LinkSyntaxError, parse_link

VERSION = "version.txt"

_WORDS = {True: "yes", False: "no"}

_log = logging.getLogger("flambe")


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """What `version.txt` says.

    Attributes:
        cls: `package.module:Class`.
        at: The link that led to the part.
        linked: Whether a link by the part's name, through the object that has it, leads to it, and not to
            an attribute of that name; None if that is not known.
    """

    cls: str
    version: str | None = None
    at: LinkPath | None = None
    linked: bool | None = None

    @classmethod
    def of(cls, value: object, at: LinkPath | None = None, *, linked: bool | None = None) -> SavedVersion:
        """The class and version of a live object.

        Raises:
            SavingError: Its `flambe_version` is no version.
        """
        version = version_of(type(value))
        if version is not None:
            _parse(version, type(value).__name__)
        return cls(f"{type(value).__module__}:{type(value).__qualname__}", version, at, linked)

    def write(self) -> bytes:
        """The text of the file."""
        linked = None if self.linked is None else _WORDS[self.linked]
        lines = {"class": self.cls, "version": self.version, "path": self.at, "linked": linked}
        return "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None).encode()

    @classmethod
    def read(cls, data: bytes, file: str) -> SavedVersion:
        """What `write` wrote.

        Raises:
            DamagedSaveError: It is nothing that `write` writes.
        """
        try:
            lines = dict(line.split(": ", 1) for line in data.decode().splitlines())
            at = parse_link(lines["path"]) if "path" in lines else None
            linked = lines["linked"] == _WORDS[True] if "linked" in lines else None
            return cls(lines["class"], lines.get("version"), at, linked)
        except (ValueError, KeyError, LinkSyntaxError) as error:
            raise DamagedSaveError(f"{file} is no version file that Flambé wrote") from error

    def check(self, installed: type | None, where: str) -> None:
        """Compare with the installed class.

        Raises:
            VersionError: The major versions differ.
        """
        wanted = version_of(installed) if installed is not None else None
        if installed is None or wanted is None or self.version is None or not self.is_of(installed):
            return
        saved, present = _parse(self.version, self.cls), _parse(wanted, installed.__name__)
        if saved.major != present.major:
            raise VersionError(
                f"{where} holds {installed.__name__} {self.version}, but version {wanted} is installed; "
                f"install a version {saved.major}.x, or save again"
            )
        if saved.minor > present.minor:
            _log.warning(
                "%s holds %s %s, newer than the installed %s", where, installed.__name__, self.version, wanted
            )

    def is_of(self, cls: type) -> bool:
        return self.cls == f"{cls.__module__}:{cls.__qualname__}"

    def installed(self) -> type | None:
        """The class, if its module is imported; imports nothing."""
        module, _, qualname = self.cls.partition(":")
        found: object = sys.modules.get(module)
        for name in qualname.split("."):
            found = getattr(found, name, None)
        return found if isinstance(found, type) else None


def version_of(cls: type) -> str | None:
    """The class's opt-in version; inherited, as a subclass that changes nothing keeps its meaning."""
    version = getattr(cls, "flambe_version", None)
    return None if version is None else str(version)


@dataclass(frozen=True, slots=True)
class _Release:
    major: int
    minor: int


def _parse(text: str, owner: str) -> _Release:
    from packaging.version import InvalidVersion, Version

    try:
        version = Version(text)
    except InvalidVersion:
        raise SavingError(f"{owner} has the version {text!r}, which is no version such as '1.2.0'") from None
    return _Release(version.major, version.minor)
