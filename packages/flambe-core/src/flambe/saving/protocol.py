"""The seam for foreign objects: how a plugin's codec turns the state of an object into one file and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol


class StateCodec(Protocol):
    r"""Saves the state of objects of one framework, such as torch's modules and optimizers.

    Each part of a saved object has one codec: the first that `handles` it. What no codec handles is
    saved by core: its `custom_state()` as JSON values and arrays. A codec that handles an object with
    `custom_state` stores that too, so that a part has one state file.

    Example:
        >>> class BagCodec:
        ...     name = "bag"
        ...     file_name = "state.bag"
        ...
        ...     def handles(self, value):
        ...         return type(value).__name__ == "Bag"
        ...
        ...     def is_value(self, value):
        ...         return False
        ...
        ...     def get_state(self, value, parts):
        ...         return {"items": sorted(value.items)} if value.items else None
        ...
        ...     def set_state(self, value, state, parts):
        ...         value.items = set(state["items"])
        ...
        ...     def write(self, state, stream):
        ...         stream.write("\n".join(state["items"]).encode())
        ...
        ...     def read(self, stream):
        ...         return {"items": stream.read().decode().splitlines()}
        ...
        ...     def reduce(self, value):
        ...         return NotImplemented
    """

    name: str
    file_name: str

    def handles(self, value: object, /) -> bool:
        """Whether the state of `value` is this codec's to save."""

    def is_value(self, value: object, /) -> bool:
        """Whether `value` is itself data, such as a tensor: `read` gives back what `write` was given.

        Such values may stand inside states and be the value of a link.
        """

    def get_state(self, value: Any, parts: Mapping[str, object], /) -> Any:
        """The state of `value` without that of `parts`, which have folders of their own; None for none.

        `parts` maps the folder of every saved part inside `value` (`encoder`, `layers/0`) to that part.
        """

    def set_state(self, value: Any, state: Any, parts: Mapping[str, object], /) -> None:
        """Take back what `get_state` returned.

        Raises:
            SavingError: The state does not fit; the message names the entries.
        """

    def write(self, state: Any, stream: BinaryIO, /) -> None:
        """Write `state`; `stream` can only be written to, from front to back.

        Raises:
            SavingError: The state holds what `read` could not give back; the message names the entry.
        """

    def read(self, stream: BinaryIO, /) -> Any:
        """What `write` wrote. Never unpickles code and never runs what the file says."""

    def reduce(self, value: object, /) -> Any:
        """How to hand `value` to another process: a pickle reduce tuple, or NotImplemented.

        Large buffers go out of band (`pickle.PickleBuffer`). The receiver must never get a writable
        object that shares memory with another process.
        """
