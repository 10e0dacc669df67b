"""A look into a package's source without importing it."""

from __future__ import annotations

import importlib.util
import re
import sys


def is_installed(module: str) -> bool:
    """Whether the top-level `module` can be imported; imports nothing."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a module without a spec, such as a script
        return False


def may_define(module: str, name: str) -> bool:
    """Whether `module` may have `name`: it has it, or the source of its folder or file mentions it.

    True also where the source cannot tell: it cannot be found, or the module takes all names of another
    package or makes them up. Imports nothing.
    """
    from pathlib import Path

    if module in sys.modules:
        return hasattr(sys.modules[module], name)
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return True
    if spec is None:
        return False
    folders = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations or ()]
    files = [file for folder in folders for file in (*folder.rglob("*.py"), folder.with_suffix(".py"))]
    texts = {file: file.read_bytes() for file in files if file.is_file()}
    own = [file for folder in folders for file in (folder / "__init__.py", folder.with_suffix(".py"))]
    if not texts or any(_is_open(texts[file], top) for file in own if file in texts):
        return True
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    return any(word.search(text) for text in texts.values())


def _is_open(text: bytes, package: str) -> bool:
    """Whether a module of the package may have names that stand nowhere in its source."""
    everything_of = re.findall(rb"^\s*from\s+(\w+)[\w.]*\s+import\s+\*", text, re.MULTILINE)
    return b"\ndef __getattr__" in text or any(other != package.encode() for other in everything_of)
