from __future__ import annotations

import gzip
import struct
from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pytest

from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.vision import MNISTDataset, read_idx
from flambe_torch.vision.mnist import TEST, TRAIN

N, M, Y, X = 20, 6, 4, 5


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    """A file as LeCun describes it: two zeros, the type (8: unsigned bytes), the sizes, the numbers."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Images and labels of both parts, half of the files packed."""
    random = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte.gz": random.integers(0, 256, (N, Y, X), dtype=np.uint8),
        "train-labels-idx1-ubyte": random.integers(0, 7, N, dtype=np.uint8),
        "t10k-images-idx3-ubyte": random.integers(0, 256, (M, Y, X), dtype=np.uint8),
        "t10k-labels-idx1-ubyte.gz": random.integers(0, 7, M, dtype=np.uint8),
    }
    for name, array in arrays.items():
        content = idx(array)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return arrays


def test_images_and_labels_are_read(tmp_path: Path, files: dict[str, npt.NDArray[np.uint8]]) -> None:
    dataset = MNISTDataset(str(tmp_path))
    images, labels = dataset.test.batch(range(M))
    assert images.shape == (M, 1, Y, X)
    np.testing.assert_allclose(images[:, 0], files["t10k-images-idx3-ubyte"] / 255, rtol=1e-6)
    assert labels.tolist() == files["t10k-labels-idx1-ubyte.gz"].tolist()
    assert dataset.n_labels == files["train-labels-idx1-ubyte"].max() + 1


def test_a_seeded_share_becomes_the_dev_part(tmp_path: Path, files: dict[str, npt.NDArray[np.uint8]]) -> None:
    def parts(seed: int) -> list[list[float]]:
        dataset = MNISTDataset(str(tmp_path), dev_ratio=0.25, seed=seed)
        return [[image.sum() for image, _ in part] for part in (dataset.train, dataset.dev)]

    train, dev = parts(3)
    assert (len(train), len(dev)) == (15, 5)
    assert sorted(train + dev) == pytest.approx(sorted(files["train-images-idx3-ubyte.gz"].sum((1, 2)) / 255))
    assert parts(3) == [train, dev] != parts(4)
    whole = MNISTDataset(str(tmp_path), dev_ratio=0.0)
    assert (len(whole.train), len(whole.dev)) == (N, 0)


def test_files_lie_at_any_url(tmp_path: Path, files: dict[str, npt.NDArray[np.uint8]]) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/digits", recursive=True)
    try:
        assert len(MNISTDataset("memory://digits").test) == M
    finally:
        memory.rm("/digits", recursive=True)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        MissingDataError, match=r"has neither t10k-images-idx3-ubyte\.gz nor t10k-images-idx3-ubyte$"
    ):
        _ = MNISTDataset(str(tmp_path)).test


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file: it begins with the bytes $"),
        (b"\0\0\x07\1\0\0\0\1a", "is no IDX file: it begins with the bytes 00 00 07 01$"),
        (b"\x89PNG\r\n\x1a\n..", "is no IDX file: it begins with the bytes 89 50 4e 47$"),
        (b"\0\0\x08\1\0\0\0\3ab", r"says it is of shape \[3\], 11 bytes, but it has 10$"),
        (b"\0\0\x08\2\0\0\0\3", r"says it is of shape \[3\], 15 bytes, but it has 8$"),
        (gzip.compress(b"\0\0\x08\1\0\0\0\3abc")[:-9], "is damaged, it cannot be unpacked: "),
    ],
)
def test_damaged_files_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(str(path))


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(0x09, "b"), (0x0B, "h"), (0x0C, "i"), (0x0D, "f"), (0x0E, "d")],
)
def test_all_types_of_numbers_are_read(tmp_path: Path, kind: int, numbers: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(struct.pack(f">HBBII6{numbers}", 0, kind, 2, 2, 3, *range(-2, 4)))
    assert read_idx(str(path)).tolist() == [[-2, -1, 0], [1, 2, 3]]


def test_unequal_images_and_labels_are_refused(
    tmp_path: Path, files: dict[str, npt.NDArray[np.uint8]]
) -> None:
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(N + 1, np.uint8)))
    with pytest.raises(
        DataError, match=r"is of shape \(20, 4, 5\) and .* of \(21,\); expected \(N, Y, X\) and \(N,\)$"
    ):
        _ = MNISTDataset(str(tmp_path)).train


def test_mnist_itself_is_known_by_its_checksums() -> None:
    files = [*TRAIN, *TEST]
    assert len({file.sha256 for file in files}) == 4
    assert all(len(file.urls) == 2 and len(file.sha256) == 64 for file in files)
    with pytest.raises(ValueError, match=r"^dev_ratio must be at least 0 and below 1, not 1$"):
        MNISTDataset(dev_ratio=1)
