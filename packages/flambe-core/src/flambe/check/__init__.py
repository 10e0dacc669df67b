"""Checking a config: everything that is wrong with it, found before anything is built."""

from flambe.check.document import check

__all__ = ["check"]
