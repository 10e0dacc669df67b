import pytest

from flambe.errors import ConfigError
from flambe.language.read import read_file, read_text


def refusal(text):
    """The one line that a config of which nothing can be read gets, and the source line shown with it."""
    with pytest.raises(ConfigError) as raised:
        read_text(text, "c.yaml")
    (problem,) = raised.value.problems
    return str(problem), problem.source


INDENTATION = (
    "wrong indentation, or a ':' without a space after it: "
    "the line above already has a value, so no key can follow inside it"
)


@pytest.mark.parametrize(
    ("text", "message", "source"),
    [
        ("a:\n\tb: 1\n", "2:1  a tab cannot indent a line in YAML; use spaces", "\tb: 1"),
        ("a: 1\n\tb: 1\n", "2:1  a tab cannot indent a line in YAML; use spaces", "\tb: 1"),
        (
            "a: b: c\n",
            "1:5  a second ': ' on this line; quote the value, or give the inner key its own line",
            "a: b: c",
        ),
        ("a: 1\n  b: 2\n", f"2:4  {INDENTATION}", "  b: 2"),
        ("a:1\nb: 2\n", f"2:2  {INDENTATION}", "b: 2"),
        (
            "a:\n    b: 1\n  c: 2\n",
            "3:3  wrong indentation: this line fits none of the levels above",
            "  c: 2",
        ),
        ("  a: 1\nb: 2\n", "2:1  wrong indentation: this line starts further left than the first", "b: 2"),
        ("a: 1\nb\nc: 2\n", "2:1  expected 'key: value' here; a ':' followed by a space is missing", "b"),
        (
            "a:\n  - 1\n  b: 2\n",
            "3:3  expected '- ' here: this line stands in a list; check the indentation",
            "  b: 2",
        ),
        (
            "a:\n  b: 1\n  - 2\n",
            "3:3  a list item among the keys of a mapping; indent it below its key",
            "  - 2",
        ),
        (
            "a: - b\n",
            "1:4  a list cannot start on the line of its key; start it on the next line, or use [ ]",
            "a: - b",
        ),
        ('a: "x\nb: 2\n', "1:4  this quote is never closed", 'a: "x'),
        ("a: 'x\nb: 2\n", "1:4  this quote is never closed", "a: 'x"),
        (
            'a: "x" y\nb: 1\n',
            "1:8  nothing can follow here: the value before it is complete; a quote may be missing",
            'a: "x" y',
        ),
        (
            'a: "\\d"\n',
            "1:4  unknown escape after '\\' in double quotes; use single quotes for plain text",
            'a: "\\d"',
        ),
        ("a: [1, 2\n", "1:4  '[' is never closed", "a: [1, 2"),
        ("a: [1, 2\nb: 3\n", "1:4  '[' is never closed: expected ',' or ']' at line 2, column 2", "a: [1, 2"),
        ("a: {b: 1\nc: 2\n", "1:4  '{' is never closed: expected ',' or '}' at line 2, column 2", "a: {b: 1"),
        ("a: [1,,2]\n", "1:7  expected a value, but found ','", "a: [1,,2]"),
        ("a: ]\n", "1:4  expected a value, but found ']'", "a: ]"),
        (
            "a: !g [!@ b[c], 2]\n",
            "1:12  inside brackets a link with '[' must be quoted: 'b[c]'",
            "a: !g [!@ b[c], 2]",
        ),
        (
            "a: {x: !call b.d[c]}\n",
            "1:17  inside brackets a link with '[' must be quoted: 'b.d[c]'",
            "a: {x: !call b.d[c]}",
        ),
        ("a: !g[1]\n", "1:6  a space is missing after the tag", "a: !g[1]"),
        ("a: !x!y z\n", "1:4  a tag has one '!', at its start", "a: !x!y z"),
        (
            "a: @b\n",
            "1:4  a value cannot start with '@'; quote it, or write '!@ stage.attribute' for a link",
            "a: @b",
        ),
        ("a: `b`\n", "1:4  a value cannot start with '`'; quote it", "a: `b`"),
        ("a: %b\n", "1:4  a value cannot start with '%'; quote it", "a: %b"),
        ("a: *.txt\n", "1:4  a value that starts with '*' must be quoted", "a: *.txt"),
        ("a: & b\n", "1:4  a value that starts with '&' must be quoted", "a: & b"),
        ("a: | b\n  c\n", "1:6  text after '|' or '>' starts on the next line", "a: | b"),
        ("%YAML 1.2\na: 1\n", "2:1  expected '---' after the directives", "a: 1"),
        ("a: \x07\n", "1:4  the character U+0007 is not allowed in a config", "a: \x07"),
        ("a: \ud800\n", "1:4  the character U+D800 is not allowed in a config", "a: \ud800"),
        ("", "1:1  the file is empty", ""),
        ("# only a comment\n", "1:1  the file is empty", "# only a comment"),
        ("---\n", "2:1  the file is empty", ""),
        ("cl: a\n---\n", "3:1  there is no config after the header", ""),
        ("- a\n- b\n", "1:1  a config is a mapping of 'key: value' lines, but this is a list", "- a"),
        (
            "some text\n",
            "1:1  a config is a mapping of 'key: value' lines, but this is only the text 'some text'",
            "some text",
        ),
        (
            "!g [1]\n",
            "1:1  a config is a mapping of 'key: value' lines, but this is a choice of options",
            "!g [1]",
        ),
        (
            "a: b\n---\nc: 1\n---\nd: 1\n",
            "4:1  a third document; a config is at most a header and one document",
            "---",
        ),
    ],
)
def test_a_syntax_error_is_one_plain_line(text, message, source):
    assert refusal(text) == (f"c.yaml:{message}", source)


def test_a_file_longer_than_any_config():
    assert (
        refusal("a" * 5_000_000)[0]
        == "c.yaml:1:1  longer than 4,000,000 characters, the most a config may have"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\x00\x01", "{}:1:1  this is a binary file, not a config"),
        (b"a: 1\nb: \xff\n", "{}:2:4  this is not UTF-8 text (byte 0xff); save the file as UTF-8"),
        (b"\xff\xfea\x00\x00\xd8", "{}:1:2  this is not UTF-16-LE text (byte 0x00); save the file as UTF-8"),
        (b"", "{}:1:1  the file is empty"),
        (b" " * 17_000_000, "{}:1:1  longer than 4,000,000 characters, the most a config may have"),
    ],
)
def test_a_file_that_is_no_text(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_file(path)
    assert str(raised.value) == message.format(path)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read_file(tmp_path / "absent.yaml")
    assert str(raised.value) == f"cannot read '{tmp_path}/absent.yaml': there is no such file"
    with pytest.raises(ConfigError) as raised:
        read_file(tmp_path)
    assert str(raised.value) == f"cannot read '{tmp_path}': it is a folder, not a file"
    with pytest.raises(ConfigError) as raised:
        read_file("a\0b")
    assert str(raised.value) == "cannot read 'a\\x00b': embedded null byte"
