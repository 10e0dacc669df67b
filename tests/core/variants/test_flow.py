import pytest

from flambe.language.read import read_value
from flambe.variants.flow import one_line


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.0",
        "1e-05",
        '"1"',
        "no",
        '"true"',
        "true",
        "null",
        ".inf",
        "-.inf",
        '"a, b"',
        '""',
        '"größe"',
        "[1, [2, three]]",
        '{n: 1, "a b": [x]}',
        "!torch.Adam {lr: 0.1, betas: [0.9, 0.99]}",
        "!Accuracy",
        "!Linear [2, 3]",
        "!Outer [!Inner {n: 1}]",
        "!@ stage0.train",
        '!@ "stage0[train].x"',
        "!call stage0.f",
        "!call {target: stage0.f, args: [1], kwargs: {k: 2}}",
        "!g [1, !g [2, 3]]",
        "!s [1, 9, 3]",
        "!s [0.1, 0.9, 3, 2]",
        "!uniform [0, 1]",
        "!choice [a, !Relu , b]",
        "!cluster data/x",
        "!env HOME",
        "!secret aws.key",
    ],
)
def test_a_node_on_one_line_reads_back(text: str) -> None:
    node, problems = read_value(text, "here")
    assert problems == ()
    assert one_line(node) == text
    inside, problems = read_value(f"[{one_line(node)} ]", "here")
    assert problems == ()
    assert inside.items == (node,)
