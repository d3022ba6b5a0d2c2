"""What the library says of its arguments, the command line says of its options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import attattr
from attattr.cli.wording import WORDS, worded

SOURCE = Path(attattr.__file__).parent
# as an argument is written in Python; names that are no word of English
PYTHON = re.compile(
    r"(?<![\w-])\w+=(?:'|True|False|None|\d)|(?<![\w-])(?:n_steps|tol|internal_batch_size|any_model)\b"
)
# of what no command reaches: said of a call in Python
ONLY_PYTHON = ("any_model must be",)


def sentences() -> list[str]:
    """Every text of the library in which an error or a warning could be told."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and (
                called.endswith("Error")
                or called in ("warnings.warn", "kind", "asked.whole", "whole", "asked.number")
            ):
                found += [_text(argument) for argument in node.args]
            if isinstance(node, ast.Assign | ast.AugAssign):
                found.append(_text(node.value))
    return [text for text in found if text]


def _text(node: ast.AST) -> str:
    """A string, with x for what is put into it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "edges" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return _text(node.body) + _text(node.orelse) if isinstance(node, ast.IfExp) else ""


def test_no_argument_of_python_is_left():
    every = [text for text in sentences() if " " in text and PYTHON.search(text)]
    assert len(every) > 10
    left = [worded(text) for text in every if PYTHON.search(worded(text))]
    assert [text for text in left if not any(known in text for known in ONLY_PYTHON)] == []


def test_every_word_is_one_that_the_library_says():
    said = "\n".join(sentences())
    for expression, _ in WORDS:
        assert re.search(expression, said), expression


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("tol must be positive, not nan", "--tol must be positive, not nan"),
        ("use store='edges'", "use --store edges"),
        ("or say that it is meant (any_model=True, --any-model)", "or say that it is meant (--any-model)"),
        ("internal_batch_size must be 1", "--batch-size must be 1"),
        ("use the uniform baseline", "use --baseline uniform"),
        ("use output='logit'", "use --output logit"),
        ("--tol must be\npositive", "--tol must be positive"),
    ],
)
def test_a_sentence_of_the_library_on_the_command_line(said, shown):
    assert worded(said) == shown
