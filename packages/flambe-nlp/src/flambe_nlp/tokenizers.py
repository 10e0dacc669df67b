"""Tokenizers: how a text is cut into the tokens that a vocabulary counts."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

from flambe.component import Component
from flambe_nlp.vocabulary import listed

_SPACE: Final = re.compile(r"\s")
_WORD: Final = re.compile(
    r"""
      (?:[^\W\d_]\.){2,}              # U.S., e.g.
    | \d+(?:[.,:/]\d+)*               # 1,000  3.14  10:30
    | \w+?(?=n['’]t\b)                # the "do" of "don't"
    | n['’]t\b                        # ... and its "n't"
    | ['’](?:s|m|d|re|ve|ll)\b        # 's 'm 'd 're 've 'll
    | \w+(?:[-&/]\w+)*                # words, with inner hyphens
    | ``|''|\.\.\.|--                 # what two or three marks mean together
    | [^\w\s]                         # any other mark alone
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Tokenizer(Component, ABC):
    """Cuts a text into tokens. Inherit and write `tokenize` for one of your own."""

    @abstractmethod
    def tokenize(self, text: str) -> list[str]:
        """The tokens of `text`, in order."""

    def pieces(self, text: str, size: int) -> Iterator[str]:
        """`text` in pieces of about `size` characters whose tokens are together those of the text.

        One piece, unless a tokenizer knows where a text can be cut.
        """
        yield text


class _SpacedTokenizer(Tokenizer):
    """A tokenizer of whose tokens none holds white space or depends on what lies beyond it."""

    def pieces(self, text: str, size: int) -> Iterator[str]:
        start = 0
        while len(text) - start > size:
            space = _SPACE.search(text, start + size)
            if space is None:
                break
            yield text[start : space.start()]
            start = space.end()
        yield text[start:]


class WordTokenizer(_SpacedTokenizer):
    """Words, numbers and punctuation marks apart; English contractions as in GloVe's vocabulary.

    Example:
        >>> WordTokenizer().tokenize("Who didn't sign the U.S. treaty?")
        ['Who', 'did', "n't", 'sign', 'the', 'U.S.', 'treaty', '?']
    """

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text)


class SpaceTokenizer(_SpacedTokenizer):
    """What lies between white space; right for text that was tokenized before, such as TREC.

    Example:
        >>> SpaceTokenizer().tokenize("What is the full form of .com ?")
        ['What', 'is', 'the', 'full', 'form', 'of', '.com', '?']
    """

    def tokenize(self, text: str) -> list[str]:
        return text.split()


class CharTokenizer(Tokenizer):
    """Every character, white space too.

    Example:
        >>> CharTokenizer().tokenize("a b")
        ['a', ' ', 'b']
    """

    def tokenize(self, text: str) -> list[str]:
        return list(text)

    def pieces(self, text: str, size: int) -> Iterator[str]:
        return (text[start : start + size] for start in range(0, len(text), size))


class NLTKWordTokenizer(Tokenizer):
    """Words as NLTK cuts them, by Penn Treebank's conventions; needs `pip install nltk`, but no data.

    A text is not cut into sentences first, as `nltk.word_tokenize` does: a full stop is a token of its own at
    the end of the text only.
    """

    def __init__(self) -> None:
        try:
            from nltk.tokenize.destructive import NLTKWordTokenizer as Cutter
        except ImportError as error:
            raise ImportError("NLTKWordTokenizer needs the package nltk: pip install nltk") from error
        self._cut = Cutter().tokenize

    def tokenize(self, text: str) -> list[str]:
        return list(self._cut(text))


class NGramTokenizer(Tokenizer):
    """Runs of `n` neighbouring tokens, for one `n` or several; shorter runs first.

    Args:
        n: The length of a run, or several lengths.
        tokenizer: What makes the tokens; words if not given.
        separator: What is written between the tokens of a run.
        stop_words: Tokens that are left out before runs are made, whatever their case: a list, or the path or
            URL of a file with one on each line. None are left out if not given.

    Example:
        >>> NGramTokenizer(n=[1, 2]).tokenize("how old")
        ['how', 'old', 'how old']
    """

    def __init__(
        self,
        n: int | Sequence[int] = 2,
        tokenizer: Tokenizer | None = None,
        separator: str = " ",
        stop_words: Sequence[str] | str | None = None,
    ) -> None:
        self.lengths = (n,) if isinstance(n, int) else tuple(n)
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError(f"n must be one or more lengths of at least 1, not {n!r}")
        self.tokenizer = tokenizer or WordTokenizer()
        self.separator = separator
        self.stop_words = frozenset(word.lower() for word in listed(stop_words))

    def tokenize(self, text: str) -> list[str]:
        tokens = self.tokenizer.tokenize(text)
        if self.stop_words:
            tokens = [token for token in tokens if token.lower() not in self.stop_words]
        return [
            self.separator.join(tokens[start : start + length])
            for length in self.lengths
            for start in range(len(tokens) - length + 1)
        ]
