"""Where a pretrained transformer lies: a folder, an installed package, or the model hub."""

from __future__ import annotations

import importlib.util
import logging
import urllib.error
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.published import data_folders, open_url

T = TypeVar("T")
PACKAGE = "package:"
CONFIG = "config.json"
_NO_CODE = {"trust_remote_code": False}
"""Else the library asks the user, and imports what lies beside the model."""
_log = logging.getLogger(__name__)


class Source:
    """The files of one pretrained transformer, read by the `transformers` library; code in them is not run.

    Args:
        alias: One of: the path of a folder (also below `FLAMBE_DATA`) as `save_pretrained` writes it;
            `package:NAME/FOLDER`, a folder inside the installed Python package `NAME`; the name of a model
            on the hub, such as `bert-base-uncased`. What was downloaded once is not asked for again.

    Raises:
        MissingDataError: A folder or package that is not there.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.folder = _folder(alias)

    def config(self) -> Any:
        """The model's `PretrainedConfig`."""
        from transformers import AutoConfig

        return self._read(AutoConfig.from_pretrained, **_NO_CODE)

    def tokenizer(self) -> Any:
        """The model's fast tokenizer.

        Raises:
            DataError: The model has none.
        """
        return self._read(_tokenizer, **_NO_CODE)

    def pad_index(self) -> int | None:
        """The number of the token that pads, as the tokenizer has it; None where there is no such token."""
        try:
            pad = self.tokenizer().pad_token_id
        except DataError:  # weights may come without a tokenizer
            return None
        return None if pad is None else int(pad)

    def model(self, cls: type[nn.Module], config: Any) -> nn.Module:
        """A model of that class with the pretrained weights in it, float32, in evaluation mode.

        Draws nothing from torch's generator.

        Raises:
            DataError: The files lack weights that the class has.
        """

        def read(name: str, **where: Any) -> Any:
            from_pretrained: Any = cls.from_pretrained  # type: ignore[attr-defined]  # a transformers class
            return from_pretrained(name, config=config, output_loading_info=True, **where)

        with torch.random.fork_rng(devices=[]):
            model, info = self._read(read)
        missing = sorted(info["missing_keys"])
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{self.alias} holds no weights for {missing[0]}{more} of {cls.__name__}")
        made: nn.Module = model.float().eval()
        return made

    def _read(self, read: Callable[..., T], **options: Any) -> T:
        """What `read` reads of the folder, else of the cache, else of the hub."""
        try:
            with quietly():
                return read(str(self.folder or self.alias), local_files_only=True, **options)
        except _failures() as error:
            if self.folder is not None:
                raise DataError(f"{self.folder} cannot be read: {_first_line(error)}") from None
        self._check_network()
        _log.info("downloading %s", self.alias)
        try:
            with quietly():
                return read(self.alias, **options)
        except _failures() as error:
            raise MissingDataError(f"{self.alias} cannot be downloaded: {_first_line(error)}") from None

    def _check_network(self) -> None:
        """Finds out at once what the hub's own client would need many tries for."""
        from huggingface_hub import constants

        reason = "HF_HUB_OFFLINE is set"
        if not constants.HF_HUB_OFFLINE:
            try:
                with open_url(f"{constants.ENDPOINT}/{self.alias}/resolve/main/{CONFIG}", timeout_s=10.0):
                    return
            except OSError as error:
                if isinstance(error.__cause__, urllib.error.HTTPError):
                    return  # somebody answers; the client knows the user's token
                reason = f"{constants.ENDPOINT} cannot be reached ({error})"
        raise MissingDataError(
            f"there is no pretrained model {self.alias!r}: it is no folder, not in the cache "
            f"{constants.HF_HUB_CACHE}, and {reason}. Give the path of a folder that holds it or "
            f"'{PACKAGE}NAME/FOLDER', or download it where there is a network: hf download {self.alias}"
        )


def config_of(settings: Mapping[str, Any]) -> Any:
    """The `PretrainedConfig` that `settings_of` turned into plain values.

    Raises:
        ValueError: There is no `model_type`, or no such type.
    """
    from transformers import AutoConfig

    if "model_type" not in settings:
        raise ValueError("config must have a 'model_type', as the config.json of a pretrained model has")
    with quietly():
        return AutoConfig.for_model(**settings)


def settings_of(config: Any) -> dict[str, Any]:
    """A `PretrainedConfig` in plain values: what the model's structure depends on."""
    import json

    settings = dict(json.loads(config.to_json_string(use_diff=False)))
    return {name: value for name, value in settings.items() if name not in _NO_STRUCTURE}


@contextmanager
def quietly() -> Iterator[None]:
    """The library's progress bars, reports and advice stay off the terminal."""
    from transformers.utils import logging as noise

    level, bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
    noise.set_verbosity_error()
    noise.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        noise.set_verbosity(level)
        if bars:
            noise.enable_progress_bar()


_NO_STRUCTURE = frozenset(
    {"transformers_version", "_name_or_path", "dtype", "torch_dtype", "problem_type"}
    | {"id2label", "label2id", "finetuning_task", "task_specific_params"}
)


def _tokenizer(name: str, **options: Any) -> Any:
    from transformers import AutoTokenizer
    from transformers.utils import has_file

    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **options)
    own = tokenizer.vocab_files_names.values()
    files = {*own, "tokenizer.json", "tokenizer.model"}
    if own and not any(has_file(name, file, local_files_only=True) for file in files):
        # the library makes one up, which knows special tokens alone, and gives them numbers of its own
        raise OSError("it has no tokenizer")
    return tokenizer


def _folder(alias: str) -> Path | None:
    """The local folder that `alias` names; None for a name on the hub."""
    if alias.startswith(PACKAGE):
        return _inside_package(alias)
    given = Path(alias).expanduser()
    candidates = [given] if given.is_absolute() else [given, *(folder / alias for folder in data_folders())]
    found = next((folder for folder in candidates if folder.is_dir()), None)
    if found is None and (given.is_absolute() or alias.startswith((".", "~")) or alias.count("/") > 1):
        looked = ", ".join(map(str, candidates))
        raise MissingDataError(f"there is no folder of a pretrained model {alias!r} (looked for {looked})")
    if found is not None and not (found / CONFIG).is_file():
        raise MissingDataError(f"{found} is no folder of a pretrained model: it has no {CONFIG}")
    return found


def _inside_package(alias: str) -> Path:
    package, _, inside = alias.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise MissingDataError(
            f"{alias}: no Python package {package!r} is installed that could hold a model; "
            f"expected {PACKAGE}NAME/FOLDER with the name that is imported"
        )
    folders = [Path(place) / inside for place in spec.submodule_search_locations]
    found = next((folder for folder in folders if (folder / CONFIG).is_file()), None)
    if found is None:
        raise MissingDataError(f"{alias}: {folders[0]} is no folder of a pretrained model (no {CONFIG})")
    return found


def _failures() -> tuple[type[Exception], ...]:
    """What the library raises where files are missing, damaged or not known to it."""
    from safetensors import SafetensorError

    return OSError, ValueError, RuntimeError, LookupError, TypeError, ImportError, SafetensorError


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
