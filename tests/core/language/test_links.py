import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.language.links import Attribute, Item, LinkPath, LinkSyntaxError, parse_link


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data", LinkPath("data")),
        ("0_preprocess.train", LinkPath("0_preprocess", (Attribute("train"),))),
        ("a.b[c].d", LinkPath("a", (Attribute("b"), Item("c"), Attribute("d")))),
        ("a[b][c]", LinkPath("a", (Item("b"), Item("c")))),
        ("a[0][-1]", LinkPath("a", (Item(0), Item(-1)))),
        ("a[ b ]", LinkPath("a", (Item("b"),))),
        ("a['0']", LinkPath("a", (Item("0"),))),
        ('a["it\'s"]', LinkPath("a", (Item("it's"),))),
        ("a['x]y[z']", LinkPath("a", (Item("x]y[z"),))),
        ("a['']", LinkPath("a", (Item(""),))),
        ("a[01]", LinkPath("a", (Item("01"),))),
        ("""a['"']['"']""", LinkPath("a", (Item('"'), Item('"')))),
        ("""a["'b"]["'"]""", LinkPath("a", (Item("'b"), Item("'")))),
    ],
)
def test_a_link_is_a_root_and_steps(text, path):
    assert parse_link(text) == path
    assert parse_link(str(path)) == path


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "a link starts with the name of a stage or resource"),
        (".a", 0, "a link starts with the name of a stage or resource"),
        ("a.", 1, "a name must follow '.'"),
        ("a..b", 1, "a name must follow '.'"),
        ("a[b", 1, "'[' is never closed"),
        ("a[]", 1, "'[ ]' must hold one key or index"),
        ("a[b[c]]", 1, "'[ ]' must hold one key or index"),
        ("a b", 1, "expected '.' or '[' before ' b'"),
        ("a]", 1, "expected '.' or '[' before ']'"),
        ("a[0]b", 4, "expected '.' or '[' before 'b'"),
    ],
)
def test_a_malformed_link_tells_where(text, offset, message):
    with pytest.raises(LinkSyntaxError) as raised:
        parse_link(text)
    assert (raised.value.offset, str(raised.value)) == (offset, message)


_names = st.from_regex(r"[^.\[\]\s]+", fullmatch=True)
_keys = st.integers(-(10**17), 10**17) | st.text().filter(lambda key: not ("'" in key and '"' in key))


@given(_names, st.lists(st.builds(Attribute, _names) | st.builds(Item, _keys)))
def test_a_written_link_parses_to_itself(root, steps):
    path = LinkPath(root, tuple(steps))
    assert parse_link(str(path)) == path
