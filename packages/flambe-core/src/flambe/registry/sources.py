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

    True also where the source cannot be found. Imports nothing.
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
    texts = [file.read_bytes() for file in files if file.is_file()]
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    return not texts or any(word.search(text) for text in texts)
