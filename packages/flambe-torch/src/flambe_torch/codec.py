"""How torch state is saved, and how tensors are handed to other processes.

A module's file is its `state_dict`, without the entries of parts that have folders of their own;
an optimizer's and a scheduler's file is theirs. `custom_state()` stands in the same file under that name.
Files are read with `weights_only=True`: no file ever runs code.
"""

from __future__ import annotations

import mmap
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from flambe.component import ORIGIN
from flambe.errors import DamagedSaveError, SavingError
from flambe.saving.state import custom_state_of, load_custom_state

CUSTOM = "custom_state"
_ZIP = b"PK\x03\x04"
_ARRAY = "$numpy"
_INT = "$int"
_MOST_BITS = 2000
"""Longer numbers are written by their digits: `weights_only` reads none of more than 255 bytes."""

_PACKAGE = __name__.partition(".")[0]
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size)
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)

_Place: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Offset, size and stride of a tensor in its storage."""
_Marks: TypeAlias = tuple[bool, bool, dict[str, Any]]
"""Of a tensor: whether it is a parameter, whether it requires gradients, its other attributes."""


class TorchCodec:
    """Saves modules, optimizers, learning rate schedulers and everything built on this package's classes.

    Example:
        >>> codec = TorchCodec()
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> sorted(codec.get_state(model, {"0": model[0]}))
        ['1.bias', '1.weight']
    """

    name = "torch"
    file_name = "state.pt"

    def handles(self, value: object, /) -> bool:
        return isinstance(value, (nn.Module, Optimizer, LRScheduler)) or _is_ours(type(value))

    def is_value(self, value: object, /) -> bool:
        return type(value) in (Tensor, nn.Parameter)

    def get_state(self, value: Any, parts: Mapping[str, object], /) -> Any:
        state = _framework_state(value, parts)
        custom = custom_state_of(value)
        if custom is not None:
            state[CUSTOM] = _plain(custom, CUSTOM)
        return state or None

    def set_state(self, value: Any, state: Any, parts: Mapping[str, object], /) -> None:
        if not isinstance(state, Mapping):
            raise SavingError("it is not a mapping")
        custom = state.get(CUSTOM)
        own = _without(state, CUSTOM)
        if isinstance(value, nn.Module):
            _load_module(value, own, parts)
        elif isinstance(value, (Optimizer, LRScheduler)):
            _load_other(value, own)
        if custom is not None:
            load_custom_state(value, _with_arrays(custom))

    def write(self, state: Any, stream: BinaryIO, /) -> None:
        torch.save(_plain(state, "") if isinstance(state, Tensor) else state, stream)

    def read(self, stream: BinaryIO, /) -> Any:
        if stream.read(len(_ZIP)) != _ZIP:  # torch's older formats are bare pickles
            raise DamagedSaveError("no torch file of the kind that Flambé writes")
        stream.seek(0)
        try:
            return torch.load(stream, map_location="cpu", weights_only=True)
        except _UNREADABLE as error:
            first = str(error).strip().partition("\n")[0]
            raise DamagedSaveError(f"no torch file that can be read without running code: {first}") from error

    def reduce(self, value: object, /) -> Any:
        """Storages as buffers out of band. Nothing that a receiver writes to one is shared.

        Where a buffer is mapped so that pages are copied on write, that is all; else it is copied whole.
        Tensors that share memory here share it at the receiver.
        """
        if isinstance(value, torch.UntypedStorage) and value.device.type == "cpu":
            data: Any = torch.empty(0, dtype=torch.uint8).set_(value).numpy()
            return _storage, (pickle.PickleBuffer(data),)
        if self.is_value(value) and _is_simple(value):
            assert isinstance(value, Tensor)
            place = (value.storage_offset(), tuple(value.size()), tuple(value.stride()))
            marks = (isinstance(value, nn.Parameter), value.requires_grad and value.is_leaf, value.__dict__)
            return _tensor, (value.untyped_storage(), value.dtype, place, marks)
        return NotImplemented


def _is_ours(cls: type) -> bool:
    """Whether `cls` or a class that it inherits from is of this package."""
    return any(base.__module__.partition(".")[0] == _PACKAGE for base in cls.__mro__)


def _framework_state(value: Any, parts: Mapping[str, object]) -> dict[str, Any]:
    if isinstance(value, nn.Module):
        return _own_state(value, parts)
    if isinstance(value, (Optimizer, LRScheduler)):
        state = _plain(value.state_dict(), "")
        assert isinstance(state, dict)
        return state
    return {}


def _own_state(module: nn.Module, parts: Mapping[str, object]) -> dict[str, Any]:
    state = module.state_dict()
    elsewhere = _prefixes(module, parts)
    own = OrderedDict((k, _plain(v, k)) for k, v in state.items() if not k.startswith(elsewhere))
    if own:  # versions of torch's own modules, which loading looks at
        metadata = getattr(state, "_metadata", {})
        own._metadata = {k: dict(v) for k, v in metadata.items() if not f"{k}.".startswith(elsewhere)}  # type: ignore[attr-defined]  # torch keeps it there
    return own


def _prefixes(module: nn.Module, parts: Mapping[str, object]) -> tuple[str, ...]:
    """How the entries of submodules begin that are saved as parts; a submodule may have several names."""
    saved = {id(part) for part in parts.values() if isinstance(part, nn.Module)}
    if not saved:
        return ()
    named = module.named_modules(remove_duplicate=False)
    return tuple(f"{name}." for name, inner in named if name and id(inner) in saved)


def _load_module(module: nn.Module, state: Mapping[str, Any], parts: Mapping[str, object]) -> None:
    elsewhere = _prefixes(module, parts)
    _take_types(module, state)
    try:
        missing, unknown = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise SavingError(" ".join(lines)) from error
    missing = [key for key in missing if not key.startswith(elsewhere)]
    if missing or unknown:
        said = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        said += (
            [f"has {', '.join(map(repr, unknown))}, which {type(module).__name__} has not"] if unknown else []
        )
        raise SavingError(f"it {' and '.join(said)}")


def _take_types(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Let weights and buffers have the types of those in `state`, so that none of their digits is lost."""
    named = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    for name, live in chain(*named):
        saved = state.get(name)
        if is_lazy(live) or not isinstance(saved, Tensor) or live.dtype == saved.dtype:
            continue
        if live.is_floating_point() and saved.is_floating_point():
            live.data = live.data.to(saved.dtype)


def _load_other(value: Optimizer | LRScheduler, state: Mapping[str, Any]) -> None:
    try:
        value.load_state_dict(dict(state))
    except (ValueError, KeyError) as error:
        raise SavingError(f"it does not fit: {error}") from error


def _without(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if key not in state:
        return state
    rest = OrderedDict((name, item) for name, item in state.items() if name != key)
    if hasattr(state, "_metadata"):
        rest._metadata = state._metadata  # type: ignore[attr-defined]  # torch keeps it there
    return rest


def _plain(value: Any, where: str) -> Any:
    """`value` in types that `weights_only` reads back.

    Raises:
        SavingError: naming the entry that has no such type.
    """
    if type(value) is int and value.bit_length() > _MOST_BITS:
        return {_INT: hex(value)}
    if type(value) in _PLAIN:
        return value
    if type(value) in (Tensor, nn.Parameter):
        return value.detach()
    if isinstance(value, Mapping):
        return {
            _plain(key, where): _plain(item, f"{where}.{key}" if where else str(key))
            for key, item in value.items()
            if key != ORIGIN  # a scheduler's state is all its attributes, and those of schedulers inside it
        }
    if type(value) in (list, tuple, set):
        return type(value)(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, np.generic) and isinstance(value.item(), (bool, int, float, str)):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return {_ARRAY: torch.from_numpy(np.array(value, copy=True))}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise SavingError(
        f"{where or 'the state'} is of type {name}, which cannot be saved; use plain values (numbers, texts, "
        "lists, mappings), arrays and tensors"
    )


def _with_arrays(value: Any) -> Any:
    """The inverse of what `_plain` does to arrays and long numbers."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return value[_ARRAY].numpy()
        if value.keys() == {_INT}:
            return int(value[_INT], 16)
        return {key: _with_arrays(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(_with_arrays(item) for item in value)
    return value


def _is_simple(value: Any) -> bool:
    """Whether a tensor is nothing but places in one storage of this machine's memory."""
    simple = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
    return bool(simple and not value.is_conj() and not value.is_neg())


def _storage(data: Any) -> torch.UntypedStorage:
    """A copy, as `data` may be memory that other processes read; unless what is written to it stays here."""
    given = np.frombuffer(data, dtype=np.uint8)
    mapping = memoryview(data).obj
    if isinstance(mapping, mmap.mmap):  # as `flambe.executors.segment` maps it: pages are copied on write
        private = np.frombuffer(mapping, dtype=np.uint8)
        start = given.ctypes.data - private.ctypes.data
        return torch.from_numpy(private[start : start + len(given)]).untyped_storage()
    own = torch.empty(len(given), dtype=torch.uint8)
    own.numpy()[...] = given
    return own.untyped_storage()


def _tensor(storage: torch.UntypedStorage, dtype: torch.dtype, place: _Place, marks: _Marks) -> Tensor:
    made = torch.empty(0, dtype=dtype).set_(storage, *place)
    is_parameter, learns, attributes = marks
    made = nn.Parameter(made, requires_grad=learns) if is_parameter else made.requires_grad_(learns)
    made.__dict__.update(attributes)
    return made
