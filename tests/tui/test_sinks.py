"""No widget is ever given a plain string: every place that takes text is read here, in the source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import p2pchat_tui

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(p2pchat_tui.__file__).parent
_FILES = sorted(
    [*_ROOT.glob("screens/*.py"), *_ROOT.glob("widgets/*.py"), _ROOT / "app.py", _ROOT / "commands.py"]
)
_ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "title", "sub_title", "placeholder"}
_CALLS = {"Static", "Label", "Button", "update", "Input", "notify"}


def _is_string(node: ast.expr) -> bool:
    """Tell whether an expression can only be a string that is not a constant of ours."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp):
        return _is_string(node.left) or _is_string(node.right)
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"str", "visible"}
    )


def _violations(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                named = isinstance(target, ast.Attribute) and target.attr in _ATTRIBUTES
                if named and (not isinstance(node.value, ast.Call | ast.IfExp) or _is_string(node.value)):
                    yield f"line {node.lineno}: assignment"
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            values = [*node.args, *(k.value for k in node.keywords if k.arg not in {"id", "classes"})]
            if name in _CALLS and any(_is_string(value) for value in values):
                yield f"line {node.lineno}: {name}(...)"
            if name == "notify" and not any(k.arg == "markup" for k in node.keywords):
                yield f"line {node.lineno}: notify without markup=False"
            if name in {"from_markup", "render_str"}:
                yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_no_strings_reach_widgets(file: Path) -> None:
    assert list(_violations(ast.parse(file.read_text(encoding="utf-8")))) == []


def test_the_reader_finds_violations() -> None:
    bad = (
        "Static(f'{x}')",
        "self.border_title = f'{x}'",
        "widget.update('a' + str(x))",
        "self.notify('x')",
        "Content.from_markup(x)",
    )
    for line in bad:
        assert list(_violations(ast.parse(line)))
