from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import numpy as np
import pytest

from flambe_nlp import binary_vectors
from flambe_nlp.vectors import WordVectors
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.errors import DataError, MissingDataError

WORDS = Vocabulary(["<pad>", "<unk>", "who", "What", "zebra"], unknown="<unk>")
GLOVE = "the 9 9 9\nwho 1 2 3\nwhat 4 5 6\n"


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def assert_known(matrix: np.ndarray) -> None:
    assert matrix.dtype == np.float32
    assert matrix[2].tolist() == [1, 2, 3]
    assert matrix[3].tolist() == [4, 5, 6]
    assert not matrix[0].any()


@pytest.mark.parametrize(
    "text",
    [
        GLOVE,
        "3 3\n" + GLOVE,  # word2vec's text form
        "3 3\n" + GLOVE.replace("\n", " \n"),  # fastText ends lines with a space
        GLOVE + "who 7 7 7\n",  # the first of repeated words counts
        GLOVE + ". . . 5 5 5\n",  # GloVe's 840B file has words with spaces
        GLOVE.replace("\n", "\r\n"),
    ],
)
def test_every_text_format_gives_words_their_vectors(tmp_path: Path, text: str) -> None:
    assert_known(WordVectors(written(tmp_path / "vectors.txt", text)).matrix(WORDS))


def test_packed_files_and_urls_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "vectors.txt.gz"
    packed.write_bytes(gzip.compress(GLOVE.encode()))
    assert_known(WordVectors(str(packed)).matrix(WORDS))
    with fsspec.open("memory://nlp/vectors.vec", "wb") as stream:
        stream.write(GLOVE.encode())
    assert_known(WordVectors("memory://nlp/vectors.vec").matrix(WORDS))


def test_the_exact_word_wins_over_its_lower_case_form(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt", GLOVE + "What 7 8 9\n")
    assert WordVectors(path).matrix(WORDS)[3].tolist() == [7, 8, 9]


def test_unknown_words_get_seeded_draws_or_zeros(tmp_path: Path) -> None:
    path = written(tmp_path / "vectors.txt", GLOVE)
    one, same, other = (WordVectors(path, seed=seed).matrix(WORDS)[4] for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert not WordVectors(path, unknown="zero").matrix(WORDS)[[1, 4]].any()


def test_words_are_all_words_of_the_file(tmp_path: Path) -> None:
    assert WordVectors(written(tmp_path / "v.txt", "2 2\nCafé 1 2\nwho 3 4\n")).words() == ["Café", "who"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2\nwho 1\n", "{}:2: 1 numbers after 'who', expected 2 as on line 1"),
        ("2 2\nthe 1 2\nwho 1 2 3\n", "{}:3: 3 numbers after 'who', expected 2 as on line 1"),
        ("the\n", "{}:1: 0 numbers after 'the', expected at least 1"),
        ("the 1 2\n\nwho 1 2\n", "{}:2: 0 numbers after '', expected 2 as on line 1"),
        (
            "the 1 2\nwho 1 x\n",
            "{}:2: a vector holds something that is no number (could not convert string to float: b'x')",
        ),
        ("who 1 nan\n", "{}:1: a vector holds a number that is not finite"),
        ("the 1 2\n", "{} has a vector for none of the 5 words"),
        ("", "{} is empty: expected a word and its vector on each line"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "vectors.txt", text)
    with pytest.raises(DataError) as caught:
        WordVectors(path).matrix(WORDS)
    assert str(caught.value) == message.format(path)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(MissingDataError, match=r"^there is no file 'no/vectors.txt' "):
        WordVectors("no/vectors.txt").matrix(WORDS)


def test_what_unknown_words_get_is_one_of_two() -> None:
    with pytest.raises(ValueError, match=r"^unknown must be 'random' or 'zero', not 'mean'$"):
        WordVectors("v.txt", unknown="mean")  # type: ignore[arg-type]  # what a config may hold


def binary(path: Path, words: dict[str, list[float]], end: str = "\n") -> str:
    """A file as word2vec writes it: a line feed behind each vector, or nothing."""
    size = len(next(iter(words.values())))
    content = b"".join(
        f"{word} ".encode() + np.array(vector, dtype="<f4").tobytes() + end.encode()
        for word, vector in words.items()
    )
    path.write_bytes(f"{len(words)} {size}\n".encode() + content)
    return str(path)


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("chunk", [20, 50, 1 << 22])
def test_binary_files_give_words_their_vectors(
    tmp_path: Path, end: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary_vectors, "_CHUNK_BYTES", chunk)
    spaces = np.frombuffer(b"  \n " * 3, dtype="<f4").tolist()  # bytes of a vector may be anything
    words = {"naïve": spaces, "who": [1, 2, 3], "what": [4, 5, 6], "last": [7, 8, 9]}
    path = binary(tmp_path / "vectors.bin", words, end)
    assert_known(WordVectors(path).matrix(WORDS))
    assert WordVectors(path).words() == list(words)
    other = binary(tmp_path / "vectors.w2v", words, end)
    assert_known(WordVectors(other, binary=True).matrix(WORDS))


def test_binary_files_cut_short_are_refused(tmp_path: Path) -> None:
    path = Path(binary(tmp_path / "vectors.bin", {"who": [1, 2, 3], "what": [4, 5, 6]}))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError) as caught:
        WordVectors(str(path)).words()
    assert str(caught.value) == f"{path}: word 2 of 2 is cut short, or it is another format"
    path.write_text(GLOVE, encoding="utf-8")
    with pytest.raises(DataError, match="expected the number of words and of dimensions first"):
        WordVectors(str(path)).words()
