"""What a type checker makes of the package from outside: mypy on a user's few lines."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import mypy.api
import pytest

import attattr

# the libraries below say nothing about our own signatures, and take a minute to read
SETTINGS = """
[mypy]
python_version = 3.11
[mypy-torch.*,transformers.*,numpy.*,pyarrow.*,networkx.*,scipy.*,datasets.*,peft.*,safetensors.*]
follow_imports = skip
ignore_missing_imports = True
"""
KINDS = """
from collections.abc import Mapping, Sequence
from typing import Any, assert_type
from attattr import Attribution, Attributions, Attributor, Example

one = Attributor.from_pretrained("sst2")
tensors: dict[str, Any] = {}
mapping: Mapping[str, Any] = tensors
texts: Sequence[str] = []
assert_type(one.attribute("a"), Attribution)
assert_type(one.attribute("a", "b", target="entailment"), Attribution)
assert_type(one.attribute(("a", "b")), Attribution)
assert_type(one.attribute(tensors), Attribution)
assert_type(one.attribute(mapping), Attribution)
assert_type(one.attribute(Example("a")), Attribution)
assert_type(one.attribute(["a", "b"]), Attributions)
assert_type(one.attribute(texts), Attributions)
assert_type(one.attribute([("a", "b")]), Attributions)
assert_type(one.attribute((Example("a"), Example("b"))), Attributions)
assert_type(one.attribute([tensors]), Attributions)
assert_type(one.attribute(["a", ("a", "b"), Example("c")]), Attributions)
several: list[Attribution] = one.attribute(texts)
"""


def said(code: str, folder: Path, monkeypatch) -> str:
    (folder / "mypy.ini").write_text(SETTINGS)
    (folder / "user.py").write_text(code)
    monkeypatch.setenv("MYPYPATH", str(Path(attattr.__file__).parents[1]))
    cache = Path(__file__).parents[1] / ".mypy_cache" / "user"
    out, errors, _ = mypy.api.run(
        [f"--config-file={folder / 'mypy.ini'}", f"--cache-dir={cache}", os.fspath(folder / "user.py")]
    )
    return out + errors


def test_each_kind_of_input_has_its_kind_of_result(tmp_path, monkeypatch):
    assert "Success" in said(KINDS, tmp_path, monkeypatch)


@pytest.mark.parametrize("inputs", ["1", "[1]", "('a', 'b', 'c'), 'd'"])
def test_what_is_no_input_is_an_error(inputs, tmp_path, monkeypatch):
    wrong = f"from attattr import Attributor\nAttributor.from_pretrained('sst2').attribute({inputs})\n"
    assert "user.py:2: error:" in said(wrong, tmp_path, monkeypatch)


def test_the_package_says_that_it_is_typed():
    assert (files("attattr") / "py.typed").is_file()
