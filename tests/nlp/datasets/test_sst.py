from __future__ import annotations

from pathlib import Path

import pytest

from flambe_nlp.datasets import SSTDataset
from flambe_torch.errors import DataError, MissingDataError


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


def test_five_classes_and_phrases_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sst2").mkdir()
    for name, text in {
        "fine.train": "4 a gem .\n2 a film .\n",
        "fine.phrases.train": "4 a gem .\n3 a gem\n1 no\n",
        "binary.phrases.train": "1 a gem\n",
        "fine.dev": "0 never\n",
        "fine.test": "3 fine\n",
    }.items():
        (tmp_path / "sst2" / f"stsa.{name}").write_text(text, encoding="utf-8")
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    fine = SSTDataset(fine=True)
    assert fine.train == [("a gem .", "very positive"), ("a film .", "neutral")]
    assert (fine.dev, fine.test) == ([("never", "very negative")], [("fine", "positive")])
    more = SSTDataset(fine=True, phrases=True)
    assert [label for _, label in more.train] == ["very positive", "positive", "negative"]
    assert more.dev == fine.dev
    with pytest.raises(MissingDataError, match=r"sst2/stsa\.binary\.dev"):
        _ = SSTDataset(f"{tmp_path}/sst2", phrases=True).train


def test_where_an_unchecked_file_is_published_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        MissingDataError, match=r"it is published at https://\S+/stsa\.binary\.phrases\.train"
    ):
        _ = SSTDataset(phrases=True).train
