from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe_nlp.tokenizers import (
    CharTokenizer,
    NGramTokenizer,
    NLTKWordTokenizer,
    SpaceTokenizer,
    WordTokenizer,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Who, then?", ["Who", ",", "then", "?"]),
        ("It isn't Tom's.", ["It", "is", "n't", "Tom", "'s", "."]),
        ("We've CAN'T", ["We", "'ve", "CA", "N'T"]),
        ("It’s there", ["It", "’s", "there"]),
        ("What 's the U.S. debt ?", ["What", "'s", "the", "U.S.", "debt", "?"]),
        ("1,000 miles at 10:30, 3.5 %", ["1,000", "miles", "at", "10:30", ",", "3.5", "%"]),
        ("a well-known AT&T and/or", ["a", "well-known", "AT&T", "and/or"]),
        ("`` Yes '' ... no -- (so)", ["``", "Yes", "''", "...", "no", "--", "(", "so", ")"]),
        ("rock 'n' roll", ["rock", "'", "n", "'", "roll"]),
        ("Où est-ce ?", ["Où", "est-ce", "?"]),
        ("snake_case x_1", ["snake_case", "x_1"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_words_numbers_and_marks_are_parted(text: str, tokens: list[str]) -> None:
    assert WordTokenizer().tokenize(text) == tokens


@given(st.text())
def test_word_tokens_hold_every_character_but_spaces(text: str) -> None:
    assert "".join(WordTokenizer().tokenize(text)) == "".join(text.split())


def test_space_tokens_are_what_lies_between_spaces() -> None:
    assert SpaceTokenizer().tokenize(" isn't  it ?\n") == ["isn't", "it", "?"]


@given(st.text())
def test_char_tokens_are_the_text(text: str) -> None:
    assert "".join(CharTokenizer().tokenize(text)) == text


def test_ngrams_run_over_the_tokens_of_another_tokenizer() -> None:
    tokenizer = NGramTokenizer(n=[1, 3], tokenizer=CharTokenizer(), separator="")
    assert tokenizer.tokenize("when") == ["w", "h", "e", "n", "whe", "hen"]
    assert NGramTokenizer(n=2).tokenize("how") == []


@pytest.mark.parametrize("n", [0, [], [1, 0]])
def test_ngrams_need_a_length(n: int | list[int]) -> None:
    with pytest.raises(ValueError, match=r"^n must be one or more lengths of at least 1, not "):
        NGramTokenizer(n=n)


def test_nltk_cuts_words_without_data() -> None:
    pytest.importorskip("nltk")
    assert NLTKWordTokenizer().tokenize("They'll save, won't they? (No.)") == (
        ["They", "'ll", "save", ",", "wo", "n't", "they", "?", "(", "No", ".", ")"]
    )


def test_without_nltk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.delitem(sys.modules, "nltk.tokenize.destructive", raising=False)
    with pytest.raises(ImportError, match=r"^NLTKWordTokenizer needs the package nltk: pip install nltk$"):
        NLTKWordTokenizer()
