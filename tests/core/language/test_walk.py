from flambe.language.nodes import Build, Scalar
from flambe.language.read import read_text
from flambe.language.walk import OptionStep, format_path, rebuild, walk

CONFIG = """\
a: !A
  x: [1, !B 2]
b: !g
  - !C {y: 3}
  - !choice [4]
c: !call {target: s, args: [5], kwargs: {k: 6}}
d: !D [7]
"""


def test_every_node_is_passed_once_in_document_order():
    root = read_text(CONFIG).root
    scalars = [(format_path(path), node.value) for path, node in walk(root) if isinstance(node, Scalar)]
    assert scalars == [
        ("a.x[0]", 1),
        ("a.x[1][0]", 2),
        ("b.y", 3),
        ("b", 4),
        ("c[0]", 5),
        ("c.k", 6),
        ("d[0]", 7),
    ]


def test_options_are_steps_that_leave_no_trace():
    root = read_text(CONFIG).root
    path = next(path for path, node in walk(root) if node == Scalar(3))
    assert path == ("b", OptionStep(0), "y")


def test_keys_that_are_no_names_have_steps_too():
    root = read_text("a: {1: b, true: c, null: d, 1.5: e}\n").root
    assert [format_path(path) for path, _ in walk(root)][2:] == ["a[1]", "a.True", "a.None", "a.1.5"]


def test_rebuilding_without_a_change_gives_the_same_node():
    root = read_text(CONFIG).root

    def keep(node, path):
        return rebuild(node, keep, path)

    assert rebuild(root, keep) is root


def test_rebuilding_changes_nodes_by_their_path():
    seen = []

    def double(node, path):
        if isinstance(node, Scalar):
            seen.append(format_path(path))
            return Scalar(2 * node.value)
        return rebuild(node, double, path)

    root = read_text(CONFIG).root
    changed = rebuild(root, double)
    assert [node.value for _, node in walk(changed) if isinstance(node, Scalar)] == [2, 4, 6, 8, 10, 12, 14]
    assert seen == ["a.x[0]", "a.x[1][0]", "b.y", "b", "c[0]", "c.k", "d[0]"]
    assert [type(node) for _, node in walk(changed)] == [type(node) for _, node in walk(root)]


def test_untouched_parts_are_kept_as_they_are():
    root = read_text("a: !A {x: 1}\nb: !B {y: 2}\n").root

    def change(node, path):
        return Scalar(0) if path == ("b", "y") else rebuild(node, change, path)

    changed = rebuild(root, change)
    assert changed.get("a") is root.get("a")
    assert changed.get("b") == Build("B", read_text("y: 0").root)
