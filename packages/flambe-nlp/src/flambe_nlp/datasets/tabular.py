"""Data sets of one's own in csv and tsv files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import fsspec

from flambe_nlp.datasets.dataset import Parts, Row, TextDataset, split_off
from flambe_torch.errors import DataError
from flambe_torch.published import find


class TabularDataset(TextDataset):
    r"""Rows of csv or tsv files: three files, or one that is split by a seed.

    Args:
        train: Local path (also below `FLAMBE_DATA`) or fsspec URL; `.gz` and the like are unpacked. A folder,
            or a URL that ends in `/`, stands for all its files, in the order of their names.
        dev: The same for the dev part; without it `dev_ratio` of the training rows are taken.
        test: The same for the test part; without it `test_ratio` of the training rows are taken.
        columns: What a row holds, by name or position (from 0): text and label for classification.
        sep: What parts columns; a tab for names that end in `.tsv` or `.txt`, else a comma.
        header: Whether the first line holds names; if not given, it does when a column is asked by name.
        quoted: Whether quotes may enclose a value, as in csv; if not given, unless `sep` is a tab.
        encoding: Of the text.
        seed: For the split.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     _ = file.write("kind,question\nHUM,Who sang it?\nLOC,Where was it?\n")
        ...     file.flush()
        ...     TabularDataset(file.name, columns=["question", "kind"], dev_ratio=0.5).dev
        [('Who sang it?', 'HUM')]
    """

    def __init__(
        self,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        *,
        columns: Sequence[str | int] = (0, 1),
        sep: str | None = None,
        header: bool | None = None,
        quoted: bool | None = None,
        encoding: str = "utf-8",
        dev_ratio: float = 0.0,
        test_ratio: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not columns:
            raise ValueError("columns must name at least one column")
        self.paths = {"train": train, "dev": dev, "test": test}
        self.columns = tuple(columns)
        by_name = any(isinstance(column, str) for column in self.columns)
        self.sep, self.quoted, self.encoding, self.seed = sep, quoted, encoding, seed
        self.header = by_name if header is None else header
        if by_name and not self.header:
            raise ValueError("columns are asked by name, so header cannot be false")
        self.ratios = {"dev": dev_ratio, "test": test_ratio}
        for part, ratio in self.ratios.items():
            if self.paths[part] and ratio:
                raise ValueError(f"give {part} or {part}_ratio, not both")
        if dev_ratio + test_ratio >= 1:
            raise ValueError(f"dev_ratio and test_ratio leave no training rows: {dev_ratio} + {test_ratio}")

    def read(self) -> Parts:
        train: Sequence[Row] = self._rows(str(self.paths["train"]))
        parts: dict[str, Sequence[Row]] = {}
        remaining = 1.0
        for part in ("test", "dev"):  # the test part must not change with dev_ratio
            path = self.paths[part]
            if path:
                parts[part] = self._rows(path)
            else:
                train, parts[part] = split_off(train, self.ratios[part] / remaining, self.seed)
                remaining -= self.ratios[part]
        return Parts(train, parts["dev"], parts["test"])

    def _rows(self, path: str) -> list[Row]:
        rows = [row for file in _files(find(path)) for row in self._rows_of(file)]
        if not rows:
            raise DataError(f"{path} holds no rows")
        return rows

    def _rows_of(self, found: str) -> list[Row]:
        with fsspec.open(found, "rt", encoding=self.encoding, newline="", compression="infer") as stream:
            try:
                return list(self._select(stream, found))
            except UnicodeDecodeError as error:
                raise DataError(f"{found} is no {self.encoding} text ({error}); set encoding") from None

    def _select(self, stream: io.TextIOBase, path: str) -> Iterator[Row]:
        sep, quoted = self._form(path)
        reader = csv.reader(
            stream, delimiter=sep, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
        )
        try:
            names = next(reader, None) if self.header else None
            places = [_place(column, names, path) for column in self.columns]
            for values in reader:
                if not values:
                    continue
                if len(values) <= max(places):
                    expected = f"expected at least {max(places) + 1}"
                    raise DataError(f"{path}:{reader.line_num}: {len(values)} columns, {expected}")
                yield tuple(values[place] for place in places)
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}") from None

    def _form(self, path: str) -> tuple[str, bool]:
        """What parts the columns of the file, and whether quotes may enclose a value."""
        stem = path.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
        sep = self.sep or ("\t" if stem.endswith((".tsv", ".txt")) else ",")
        return sep, sep != "\t" if self.quoted is None else self.quoted


def _files(path: str) -> list[str]:
    """The file itself, or those of the folder, but for hidden ones."""
    storage, inner = fsspec.core.url_to_fs(path)
    if not (path.endswith("/") if "://" in path else storage.isdir(inner)):
        return [path]
    entries = [entry for entry in storage.ls(inner, detail=True) if entry["type"] == "file"]
    names = sorted(entry["name"] for entry in entries)
    return [str(storage.unstrip_protocol(name)) for name in names if name.rpartition("/")[2][:1] != "."]


def _place(column: str | int, names: Sequence[str] | None, path: str) -> int:
    if isinstance(column, int):
        return column
    if names is None or column not in names:
        raise DataError(f"{path} has no column {column!r}; its columns are {', '.join(names or ())}")
    return list(names).index(column)
