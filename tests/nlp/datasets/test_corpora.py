from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flambe_nlp.datasets import (
    Enwik8Dataset,
    Lines,
    PTBDataset,
    WikiText2Dataset,
    WikiText103Dataset,
    corpora,
)
from flambe_nlp.language_modeling import CorpusSampler, LMField, LMProcessor
from flambe_nlp.tokenizers import CharTokenizer
from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.published import PublishedFile

PTB = {"train": " the cat sat \n a <unk> N \n", "valid": " the dog \n", "test": " a cat \n"}
WIKI = {
    "train": " \n = Ada = \n \n Ada wrote \u2013 well . \n = = Life = = \n a = b \n",
    "valid": " = Bob = \n Bob sang . \n",
    "test": " one line \n",
}


def published(file: PublishedFile, path: Path, address: str) -> PublishedFile:
    """`file` as if what lies at `path` had been published."""
    return replace(
        file, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), urls=(f"{address}/{path.name}",)
    )


def texts(rows: Iterator[tuple[str, ...]]) -> list[str]:
    return [text for (text,) in rows]


def ptb(folder: Path) -> None:
    for part, text in PTB.items():
        (folder / f"ptb.{part}.txt").write_text(text, encoding="utf-8")


def wikitext(path: Path, name: str = "wikitext-103") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for part, text in WIKI.items():
            archive.writestr(f"{name}/wiki.{part}.tokens", text)
    return path


def test_ptb_is_downloaded_once_and_read_line_by_line(
    cache: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    ptb(folder)
    files = {part: published(corpora.PTB[part], folder / f"ptb.{part}.txt", address) for part in PTB}
    monkeypatch.setattr(corpora, "PTB", files)
    data = PTBDataset()
    assert not cache.exists()  # nothing is read before it is asked for
    assert texts(data.train) == ["the cat sat", "a <unk> N"]
    for file in folder.iterdir():
        file.unlink()
    again = PTBDataset()
    assert (texts(again.dev), texts(again.test)) == (["the dog"], ["a cat"])
    assert sorted(path.name for path in (cache / "ptb").iterdir()) == [
        "ptb.test.txt",
        "ptb.train.txt",
        "ptb.valid.txt",
    ]


def test_ptb_becomes_a_stream_with_line_ends(tmp_path: Path) -> None:
    ptb(tmp_path)
    processor = LMProcessor(PTBDataset(str(tmp_path)))
    assert processor.vocab.tokens == ("<pad>", "<unk>", "<eos>", "N", "a", "cat", "sat", "the")
    (tokens, _, target) = next(iter(CorpusSampler(processor.train, 1, 9)))
    assert processor.names(tokens[0]) == ["the", "cat", "sat", "<eos>", "a", "<unk>", "N"]
    assert processor.names(target[0]) == ["cat", "sat", "<eos>", "a", "<unk>", "N", "<eos>"]
    assert processor.names(processor.dev[0][0]) == ["the", "<unk>", "<eos>"]


def test_lines_can_be_one_text(tmp_path: Path) -> None:
    ptb(tmp_path)
    data = PTBDataset(str(tmp_path), split_by_line=False, end_of_line_token="<eol>")
    assert list(data.train) == [("the cat sat <eol> a <unk> N",)]


@pytest.mark.parametrize(
    ("kind", "name"), [(WikiText103Dataset, "wikitext-103"), (WikiText2Dataset, "wikitext-2")]
)
def test_wikitext_is_read_from_its_archive(
    cache: Path,
    served: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WikiText103Dataset],
    name: str,
) -> None:
    folder, address = served
    path = wikitext(folder / f"{name}-v1.zip", name)
    monkeypatch.setitem(corpora.WIKITEXT, name, published(corpora.WIKITEXT[name], path, address))
    data = kind()
    assert texts(data.train) == ["", "= Ada =", "", "Ada wrote \u2013 well .", "= = Life = =", "a = b"]
    assert texts(kind(remove_headers=True).train) == ["", "", "Ada wrote \u2013 well .", "a = b"]
    assert [path.relative_to(cache).as_posix() for path in cache.rglob("*.zip")] == [
        f"wikitext/{name}-v1.zip"
    ]


def test_wikitext_of_ones_own_is_an_archive_or_a_folder(tmp_path: Path) -> None:
    archive = wikitext(tmp_path / "some.zip")
    for part, text in WIKI.items():
        (tmp_path / f"wiki.{part}.tokens").write_text(text, encoding="utf-8")
    packed, plain = WikiText103Dataset(str(archive)), WikiText103Dataset(str(tmp_path))
    for part in ("train", "dev", "test"):
        assert list(getattr(packed, part)) == list(getattr(plain, part))


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = wikitext(tmp_path / "some.zip", "other")
    with pytest.raises(DataError, match=r"is no zip archive that holds wikitext-103/wiki.train.tokens"):
        list(WikiText103Dataset(str(path)).train)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"is no zip archive that holds wikitext-103/wiki.train.tokens"):
        list(WikiText103Dataset(str(path)).train)
    with pytest.raises(MissingDataError, match="there is no file"):
        _ = WikiText103Dataset(str(tmp_path / "nowhere")).train


def test_a_damaged_download_is_refused(
    cache: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    path = wikitext(folder / "wikitext-103-v1.zip")
    monkeypatch.setitem(
        corpora.WIKITEXT, "wikitext-103", published(corpora.WIKITEXT["wikitext-103"], path, address)
    )
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MissingDataError, match="which is not the published file"):
        _ = WikiText103Dataset().train


def enwik8(path: Path) -> bytes:
    data = "ab\ncdé\nfgh\nij".encode()  # 14 bytes; é is two of them
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("enwik8", data)
    return data


def test_enwik8_is_bytes_in_three_parts(
    cache: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    data = enwik8(folder / "enwik8.zip")
    monkeypatch.setattr(corpora, "ENWIK8", published(corpora.ENWIK8, folder / "enwik8.zip", address))
    monkeypatch.setattr(Enwik8Dataset, "size", len(data))
    parts = Enwik8Dataset(num_eval_symbols=4)
    assert [part[0][0].encode("latin-1") for part in parts.parts] == [data[:6], data[6:10], data[10:]]
    shorter = Enwik8Dataset(num_eval_symbols=4, remove_end_of_line=True)
    assert [part[0][0].encode("latin-1") for part in shorter.parts] == [
        part.replace(b"\n", b"") for part in (data[:6], data[6:10], data[10:])
    ]
    processor = LMProcessor(parts, LMField(CharTokenizer(), eos_token=None))
    assert "".join(processor.names(processor.train[0][0])).encode("latin-1") == data[:6]


def test_enwik8_must_be_large_enough(tmp_path: Path) -> None:
    (tmp_path / "enwik8").write_bytes(b"0123456789")
    assert [part[0][0] for part in Enwik8Dataset(str(tmp_path / "enwik8"), num_eval_symbols=4).parts] == [
        "01",
        "2345",
        "6789",
    ]
    with pytest.raises(DataError, match=r"has 10 bytes, too few for two parts of 5$"):
        _ = Enwik8Dataset(str(tmp_path / "enwik8"), num_eval_symbols=5).train
    with pytest.raises(ValueError, match="num_eval_symbols must be at least 1, not 0"):
        Enwik8Dataset(num_eval_symbols=0)


def test_lines_are_rows_by_number_too(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\n two \nthree\x85\nfour", encoding="utf-8")
    lines = Lines(str(path))
    assert list(lines) == [("one",), ("two",), ("three",), ("four",)]
    assert (len(lines), lines[1], lines[-1], lines[::-2]) == (4, ("two",), ("four",), [("four",), ("two",)])
    assert list(pickle.loads(pickle.dumps(lines))) == list(lines)
    for row in (4, -5):
        with pytest.raises(IndexError, match=f"^row {row} of 4$"):
            lines[row]


def test_lines_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"fine\n\xff\n")
    with pytest.raises(DataError, match=f"^{path}:2: no utf-8 text"):
        list(Lines(str(path)))
