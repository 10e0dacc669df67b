"""Linked values on their way through Ray's object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flambe.executors.handover import Packing, Plain, unpickled
from flambe.language.links import LinkPath

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Parcel:
    """The linked values of one trial. Ray keeps the arrays in its store and maps them into every receiver.

    Attributes:
        plain: Numbers, strings and None, as they are.
        packed: The paths of all other values.
        pickled: One pickle of these values, in this order.
        buffers: The large buffers of that pickle, which receivers see read-only and without a copy.
    """

    plain: Mapping[LinkPath, Plain]
    packed: tuple[LinkPath, ...]
    pickled: Bytes
    buffers: tuple[Bytes, ...]


class ObjectStore(Packing):
    """Packs linked values so that a trial returns them to Ray, and unpacks what Ray hands to a trial."""

    def pack(self, values: Mapping[LinkPath, Any]) -> Parcel:
        import numpy as np

        plain, packed, pickled, buffers = self.contents(values)
        return Parcel(
            plain,
            packed,
            np.frombuffer(pickled, np.uint8),
            tuple(np.frombuffer(b, np.uint8) for b in buffers),
        )

    def unpickled(self, packed: Parcel) -> dict[LinkPath, Any]:
        buffers = [buffer.data.toreadonly() for buffer in packed.buffers]
        return unpickled(packed.packed, packed.pickled.data, buffers)
