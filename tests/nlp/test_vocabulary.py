from __future__ import annotations

import pickle
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe_nlp.vocabulary import Vocabulary

token_lists = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=6), max_size=8)


def test_the_most_frequent_tokens_come_first_and_ties_by_the_alphabet() -> None:
    vocabulary = Vocabulary.counted([["b", "c", "a"], ["c"], ["<unk>"]], special=["<unk>"], unknown="<unk>")
    assert vocabulary.tokens == ("<unk>", "c", "a", "b")


@given(token_lists, st.integers(1, 3), st.none() | st.integers(2, 6))
def test_counting_keeps_what_is_frequent_enough(
    lists: list[list[str]], min_freq: int, max_size: int | None
) -> None:
    counts = Counter(token for tokens in lists for token in tokens)
    wanted = sorted((t for t in counts if counts[t] >= min_freq), key=lambda t: (-counts[t], t))
    counted = Vocabulary.counted(lists, special=["#"], unknown="#", min_freq=min_freq, max_size=max_size)
    assert counted.tokens == ("#", *wanted)[:max_size]


@pytest.mark.parametrize(
    ("max_size", "special", "expected"),
    [(1, ["<pad>", "<unk>"], "the 2 special ones"), (-1, [], "one"), (0, [], "one")],
)
def test_there_must_be_room_for_special_tokens(max_size: int, special: list[str], expected: str) -> None:
    message = f"^a vocabulary of at most {max_size} tokens has no room for {expected}$"
    with pytest.raises(ValueError, match=message):
        Vocabulary.counted([["a", "b"]], special=special, max_size=max_size)


@given(token_lists)
def test_encoding_packs_all_lists(lists: list[list[str]]) -> None:
    vocabulary = Vocabulary(["#", "a", "c"], unknown="#")
    numbers, offsets = vocabulary.encode(lists)
    rows = [numbers[first:last].tolist() for first, last in pairwise(offsets)]
    assert rows == [[{"a": 1, "c": 2}.get(token, 0) for token in tokens] for tokens in lists]


def test_without_a_token_for_the_unknown_they_are_an_error() -> None:
    vocabulary = Vocabulary(["a"])
    with pytest.raises(KeyError, match=r"^'b'$"):
        vocabulary.index("b")
    with pytest.raises(KeyError, match=r"^'b'$"):
        vocabulary.encode([["a", "b"]])


def test_extending_keeps_the_numbers_there_are() -> None:
    assert Vocabulary(["a", "b"]).extended(["c", "a", "c"]).tokens == ("a", "b", "c")


def test_a_vocabulary_survives_pickling() -> None:
    vocabulary = Vocabulary(["#", "a"], unknown="#")
    copied = pickle.loads(pickle.dumps(vocabulary))
    assert copied == vocabulary
    assert copied.index("z") == 0


def test_repeated_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a vocabulary needs distinct tokens, and 'a' is there twice$"):
        Vocabulary(["a", "b", "a"])


def test_the_unknown_token_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"^the token for unknown words, '#', is not in the vocabulary$"):
        Vocabulary(["a"], unknown="#")
