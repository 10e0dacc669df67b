"""What the packages for torch and text raise on purpose.

    FlambeError
    └── DataError           a data file is malformed, damaged or not what was published
        └── MissingDataError   no copy of a data file can be found or fetched

A missing local file of the user's own is a `MissingDataError` too.
"""

from __future__ import annotations

from flambe.errors import FlambeError


class DataError(FlambeError, ValueError):
    """A data file is malformed, damaged or not what was published; the message names it."""


class MissingDataError(DataError):
    """No copy of a data file can be found or fetched; the message says where to put one."""
