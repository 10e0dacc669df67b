"""Whether an object keeps a constructor argument, unchanged, under the same name: read from its source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap


@functools.lru_cache(maxsize=1024)
def keeps(cls: type, name: str) -> bool:
    """Whether `self.name = name` in the constructor is the only thing that `cls` does with `self.name`.

    Only a class that says so itself counts: what a parent or another function may do is not followed.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    body = tree.body[0]
    if not isinstance(body, ast.ClassDef):
        return False
    written = [node for node in ast.walk(body) if _writes_attribute(node, name)]
    init = next((f for f in body.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
    if init is None or len(written) != 1:
        return False
    plain = [s for s in init.body if isinstance(s, (ast.Assign, ast.AnnAssign)) and _keeps_as_given(s, name)]
    rebound = any(
        isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load) for n in ast.walk(init)
    )
    return len(plain) == 1 and not rebound


def _writes_attribute(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and not isinstance(node.ctx, ast.Load)


def _keeps_as_given(statement: ast.Assign | ast.AnnAssign, name: str) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return (
        len(targets) == 1
        and _writes_attribute(targets[0], name)
        and isinstance(statement.value, ast.Name)
        and statement.value.id == name
    )
