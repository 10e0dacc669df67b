import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.errors import ConfigError
from flambe.language import header
from flambe.language.header import Folder, Git, Header, HeaderEntry, ImportPath
from flambe.language.nodes import Position
from flambe.language.read import read_text
from flambe.language.text import Text


def read(text):
    return read_text(f"{text}---\nname: x\n", "folder/c.yaml")


def test_entries_in_order_with_their_places():
    entries = read("# mine\ncl: flambe_nlp.classification\n\next: ../ext  # local\n").header.entries
    assert [(entry.alias, entry.module, entry.position) for entry in entries] == [
        ("cl", None, Position("folder/c.yaml", 2, 1)),
        ("ext", None, Position("folder/c.yaml", 4, 1)),
    ]
    assert entries[0].source == ImportPath("flambe_nlp.classification")
    assert isinstance(entries[1].source, Folder)


def test_folders_are_seen_from_the_config(tmp_path):
    document = read_text("ext: ./ext\n---\nname: x\n", str(tmp_path / "c.yaml"))
    assert document.header == Header((HeaderEntry("ext", Folder(str(tmp_path / "ext"))),))


def test_a_module_with_another_name():
    document = read("ext:\n  source: 'https://host/o/r@v1'\n  module: my.module\n")
    assert document.header == Header((HeaderEntry("ext", Git("https://host/o/r", "v1"), "my.module"),))
    assert document.problems == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cl: !x a\n", "1:5  the extension header has no tags"),
        ("cl: &x a\n", "1:7  the extension header has no anchors and aliases"),
        (
            "cl: {source: a}\n",
            "1:6  the extension header has no '{ }' and '[ ]'; quote the value or use block form",
        ),
        ("cl: a\ncl: b\n", "2:1  'cl' is given twice: at line 2, column 1, and before at line 1, column 1"),
        (
            "cl:\n  surce: a\n",
            "2:1  the extension header holds 'alias: source' or 'alias:' with source and module "
            "(while parsing a mapping unexpected key not in schema 'surce')",
        ),
        (
            "- a\n",
            "1:1  the extension header holds 'alias: source' or 'alias:' with source and module "
            "(when expecting a mapping found a sequence)",
        ),
        ("a b: c\n", "1:1  an alias is a name, not 'a b'"),
        ("1: c\n", "1:1  an alias is a name, not '1'"),
        ("cl:\n  source: a\n  module: b-c\n", "3:11  cl: 'b-c' is no module name"),
        (
            "name: x\npipeline:\n  s: !A\n",
            "1:1  two documents, but the first is not an extension header: "
            "the header comes before the config",
        ),
        ("cl: " + "a" * 20_000 + "\n", "1:1  this is too long for an extension header"),
    ],
)
def test_the_header_is_strict(text, message):
    document = read(text)
    assert [str(problem) for problem in document.problems] == [f"folder/c.yaml:{message}"]


def test_every_source_is_looked_at():
    problems = read("a: https://\nb: good\nc: --x\n").problems
    assert [(str(problem.position), problem.path) for problem in problems] == [
        ("folder/c.yaml:1:4", "a"),
        ("folder/c.yaml:3:4", "c"),
    ]


def test_a_plain_header_imports_no_strictyaml():
    code = (
        "import sys; from flambe.language.read import read_text; "
        "read_text('cl: flambe_nlp.classification\\n---\\nname: x\\n'); "
        "sys.exit('strictyaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_lines = st.text(alphabet="ab1:_-/.#@=+ '\"{}[]&*!~%\n", max_size=12).map(lambda value: f"cl: {value}\n")


@given(_lines)
def test_what_is_read_without_strictyaml_is_what_it_reads(text):
    import strictyaml

    if header._is_simple(text):
        (entry,) = strictyaml.load(text).data.items()
        try:
            document = read(text)
        except ConfigError:
            pytest.fail("a simple line is no YAML")
        assert [(e.alias, e.module) for e in document.header.entries] in ([("cl", None)], [])
        written = list(header._written(read_text(text).root))
        assert (written[0].alias, written[0].source) == entry


def test_a_simple_line_is_recognised():
    assert header._is_simple("# c\ncl: a.b/c@d  # e\n\n")
    assert not header._is_simple("cl: null\n")
    assert not header._is_simple("cl: 1\n")
    assert not header._is_simple("cl: .1\n")
    assert Text("cl: a", "f").line(1) == "cl: a"
