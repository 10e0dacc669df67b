"""The state of parts: out of live objects into files, and back into live objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flambe.errors import DamagedSaveError, SavingError
from flambe.saving.protocol import StateCodec
from flambe.saving.seal import SealedFolder, Sealing
from flambe.saving.tree import Part
from flambe.saving.values import Encoder, decode, to_json
from flambe.storage.storage import Content, Storage

STATE = "state.json"


def codec_for(value: object, codecs: Sequence[StateCodec]) -> StateCodec | None:
    """The first codec that handles `value`."""
    return next((codec for codec in codecs if codec.handles(value)), None)


def custom_state_of(value: object) -> Mapping[str, Any] | None:
    """What `custom_state()` returns, if the object has it."""
    custom_state = getattr(value, "custom_state", None)
    if isinstance(value, type) or not callable(custom_state):
        return None
    state = custom_state()
    if state is not None and not isinstance(state, Mapping):
        raise SavingError(f"custom_state() must return a mapping or None, not a {type(state).__name__}")
    return state


def load_custom_state(value: object, state: Mapping[str, Any]) -> None:
    """Hand `state` to `load_custom_state()`.

    Raises:
        SavingError: The object does not have it.
    """
    load = getattr(value, "load_custom_state", None)
    if not callable(load):
        raise SavingError(f"{type(value).__name__} has no load_custom_state() to take its saved state")
    load(state)


def state_files(part: Part, codecs: Sequence[StateCodec]) -> dict[str, Content]:
    """The files of the part's own state, without that of parts inside it; empty if it has none.

    Raises:
        SavingError: The state holds what cannot be saved; the message names part and entry.
    """
    if part.borrowed:
        return {}
    codec = codec_for(part.value, codecs)
    try:
        if codec is None:
            return _custom_files(part.value, codecs)
        state = codec.get_state(part.value, part.inside())
    except SavingError as error:
        raise SavingError(f"state of {part.title}: {error}") from error
    return {} if state is None else {codec.file_name: _Writer(part, codec, state)}


def restore(part: Part, saved: SealedFolder, codecs: Sequence[StateCodec]) -> None:
    """Give the part's object its own saved state.

    Raises:
        SavingError: The state does not fit the object; the message names part and entry.
        DamagedSaveError: A file is missing or was altered.
    """
    codec = codec_for(part.value, codecs)
    name = STATE if codec is None else codec.file_name
    if name not in saved:
        _expect_no_state(part, saved, codec)
        return
    if codec is None:
        state = _custom(saved, codecs)
    else:
        with saved.open(name) as stream:
            state = _read(codec, stream, f"{saved.url}/{name}")
    try:
        if codec is None:
            load_custom_state(part.value, state)
        else:
            codec.set_state(part.value, state, part.inside())
    except SavingError as error:
        raise SavingError(f"state of {part.title} in {saved.url}: {error}") from error


def add_states(
    sealing: Sealing,
    part: Part,
    codecs: Sequence[StateCodec],
    more: Mapping[str, Mapping[str, Content]] | None = None,
) -> bool:
    """Add the folders of `part` and all inside it that have state, children first; whether there was any.

    `more` maps folders to further files, which count as state.
    """
    parts = {
        _relative(part, child): child.folder for child in part.children if add_states(sealing, child, codecs)
    }
    files = {**state_files(part, codecs), **(more or {}).get(part.folder, {})}
    if files or parts or not part.steps:
        sealing.add_folder(part.folder, files, parts)
        return True
    return False


def write_state(
    root: Part,
    storage: Storage,
    folder: str,
    codecs: Sequence[StateCodec],
    more: Mapping[str, Content] | None = None,
    *,
    durable: bool = True,
) -> None:
    """Write only the state of an object and of its parts, all or nothing, with `more` files beside it."""
    sealing = Sealing()
    add_states(sealing, root, codecs, {"": more or {}})
    storage.write_folder(folder, sealing.files, durable=durable)


def read_state(root: Part, saved: SealedFolder, codecs: Sequence[StateCodec]) -> None:
    """Give an object and its parts their saved state, parts first.

    Raises:
        SavingError: The objects and the save do not fit; the message names the part.
    """
    if root.borrowed:
        return
    parts = {_relative(root, child): child for child in root.children}
    for name in saved.parts:
        if name not in parts and any(_has_state(below) for below in saved.part(name).walk()):
            raise SavingError(
                f"{saved.url} holds the state of a part {name!r}, which {root.title} does not have"
            )
    for name, child in parts.items():
        if name in saved.parts:
            read_state(child, saved.part(name), codecs)
        else:
            for part in child.walk():
                _expect_no_state(part, saved, codec_for(part.value, codecs))
    restore(root, saved, codecs)


def _custom_files(value: object, codecs: Sequence[StateCodec]) -> dict[str, Content]:
    custom = custom_state_of(value)
    if custom is None:
        return {}
    encoder = Encoder("state", codecs)
    return {STATE: to_json(encoder.encode(custom)), **encoder.files}


class _Writer:
    """Writes a codec's file; what goes wrong names the part."""

    def __init__(self, part: Part, codec: StateCodec, state: Any) -> None:
        self._part, self._codec, self._state = part, codec, state

    def __call__(self, out: Any) -> None:
        try:
            self._codec.write(self._state, out)
        except SavingError as error:
            raise SavingError(f"state of {self._part.title}: {error}") from error


def _read(codec: StateCodec, stream: Any, file: str) -> Any:
    try:
        return codec.read(stream)
    except SavingError as error:
        raise type(error)(f"{file}: {error}") from error


def _custom(saved: SealedFolder, codecs: Sequence[StateCodec]) -> Any:
    import json

    try:
        state = decode(json.loads(saved.read(STATE)), saved.read, codecs)
        if not isinstance(state, dict):
            raise TypeError(f"it is a {type(state).__name__}")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, SavingError):
            raise
        raise DamagedSaveError(f"{saved.url}/{STATE} is no state that Flambé wrote: {error}") from error
    return state


def _has_state(saved: SealedFolder) -> bool:
    return any(name.startswith("state.") for name in saved.names())


def _expect_no_state(part: Part, saved: SealedFolder, codec: StateCodec | None) -> None:
    if part.steps and _has_state(saved) and saved.folder.endswith(part.folder):
        files = [name for name in saved.names() if name.startswith("state.")]
        raise SavingError(
            f"{saved.url} holds {files[0]}, which no installed codec reads for {part.title}; "
            "install or import the plugin that saved it"
        )
    if codec is not None and codec.get_state(part.value, part.inside()) is not None:
        raise SavingError(f"{saved.url} holds no state for {part.title}")


def _relative(parent: Part, child: Part) -> str:
    return child.folder[len(parent.folder) + 1 :] if parent.steps else child.folder
