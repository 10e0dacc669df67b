"""MNIST, and what is published in its file format, IDX."""

from __future__ import annotations

import gzip
import math
from typing import NamedTuple

import fsspec
import numpy as np

from flambe.component import Component
from flambe_torch.data import Array, ArrayColumn, Rows
from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.published import PublishedFile, find

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _published(name: str, sha256: str) -> PublishedFile:
    return PublishedFile(f"mnist/{name}", sha256, tuple(f"{mirror}/{name}" for mirror in _MIRRORS))


class _Part(NamedTuple):
    images: PublishedFile
    labels: PublishedFile


TRAIN = _Part(
    _published(
        "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    _published(
        "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
)
TEST = _Part(
    _published(
        "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    _published(
        "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
)


class MNISTDataset(Component):
    """MNIST's 60,000 + 10,000 handwritten digits; or another data set in files of the same names.

    `train`, `dev` and `test` are tables of `image`, (1, Y, X) float32 from 0 to 1, and `label`. MNIST has no
    dev part: a seeded share of the training part is taken. Nothing is read before a part is asked for.

    Args:
        path: A folder or fsspec URL with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two of
            `t10k`, each with or without `.gz` (Fashion-MNIST, Kuzushiji-MNIST); MNIST is found or
            downloaded if not given.
        dev_ratio: The share of the training part that becomes the dev part.
        seed: Chooses the dev part.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proceedings of the IEEE 86, 1998.
    """

    def __init__(self, path: str | None = None, *, dev_ratio: float = 0.1, seed: int = 0) -> None:
        if not 0 <= dev_ratio < 1:
            raise ValueError(f"dev_ratio must be at least 0 and below 1, not {dev_ratio}")
        self.path = path
        self.dev_ratio = dev_ratio
        self.seed = seed
        self._tables: dict[_Part, Rows] = {}

    @property
    def train(self) -> Rows:
        return self._split()[0]

    @property
    def dev(self) -> Rows:
        return self._split()[1]

    @property
    def test(self) -> Rows:
        return self._table(TEST)

    @property
    def n_labels(self) -> int:
        """How many classes there are: one more than the largest label of the training part."""
        labels = self._table(TRAIN).columns["label"]
        assert isinstance(labels, ArrayColumn)
        return int(labels.values.max()) + 1

    def _split(self) -> tuple[Rows, Rows]:
        rows = self._table(TRAIN)
        order = np.random.default_rng(self.seed).permutation(len(rows))
        count = round(self.dev_ratio * len(rows))
        return rows.select(np.sort(order[count:])), rows.select(np.sort(order[:count]))

    def _table(self, part: _Part) -> Rows:
        if part not in self._tables:
            self._tables[part] = _table(*map(self._locate, part))
        return self._tables[part]

    def _locate(self, file: PublishedFile) -> str:
        return str(file.locate()) if self.path is None else _inside(self.path, file.name.rpartition("/")[2])


def read_idx(path: str) -> Array:
    """The array of an IDX file, a path or an fsspec URL; `.gz` is unpacked.

    Raises:
        DataError: The file is malformed or cut short.
    """
    with fsspec.open(path, "rb") as stream:
        content = stream.read()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise DataError(f"{path} is damaged, it cannot be unpacked: {error}") from error
    if len(content) < 8 or content[:2] != bytes(2) or content[2] not in _TYPES:
        raise DataError(f"{path} is no IDX file: it begins with the bytes {content[:4].hex(' ')}")
    dtype, begin = np.dtype(_TYPES[content[2]]), 4 + 4 * content[3]
    shape = np.frombuffer(content[4:begin], ">u4").tolist()
    expected = begin + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(f"{path} says it is of shape {shape}, {expected} bytes, but it has {len(content)}")
    array: Array = np.frombuffer(content, dtype, offset=begin).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _table(images_path: str, labels_path: str) -> Rows:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{images_path} is of shape {images.shape} and {labels_path} of {labels.shape}; "
            "expected (N, Y, X) and (N,)"
        )
    scaled = images[:, None].astype(np.float32) / np.float32(255)  # (N, 1, Y, X)
    return Rows({"image": ArrayColumn(scaled), "label": ArrayColumn(labels.astype(np.int64))})


def _inside(folder: str, name: str) -> str:
    folder = find(folder).rstrip("/")
    files, root = fsspec.core.url_to_fs(folder)
    for candidate in (name, name.removesuffix(".gz")):
        if files.exists(f"{root}/{candidate}"):
            return f"{folder}/{candidate}"
    raise MissingDataError(f"{folder} has neither {name} nor {name.removesuffix('.gz')}")
