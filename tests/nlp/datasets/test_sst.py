from __future__ import annotations

from pathlib import Path

import pytest

from flambe_nlp.datasets import SSTDataset
from flambe_nlp.errors import DataError


def folder(tmp_path: Path, train: str) -> str:
    for part, text in {"train": train, "dev": "0 dull\n", "test": "1 fine\n"}.items():
        (tmp_path / f"stsa.binary.{part}").write_text(text, encoding="utf-8")
    return str(tmp_path)


def test_sentences_are_negative_or_positive(tmp_path: Path) -> None:
    data = SSTDataset(folder(tmp_path, "1 a gem , naïve and\x85 warm .\n0 no .\n"))
    assert data.train == [("a gem , naïve and\x85 warm .", "positive"), ("no .", "negative")]
    assert (data.dev, data.test) == ([("dull", "negative")], [("fine", "positive")])


@pytest.mark.parametrize("line", ["2 neither", "1", "gem"])
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    path = folder(tmp_path, f"1 fine\n{line}\n")
    with pytest.raises(DataError) as caught:
        _ = SSTDataset(path).train
    expected = f"{path}/stsa.binary.train:2: expected '0 sentence' or '1 sentence', found {line!r}"
    assert str(caught.value) == expected
