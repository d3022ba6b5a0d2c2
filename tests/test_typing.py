"""What a type checker makes of the package from outside: a user's few lines, never run, read by `make lint`.

What is to be refused is marked as ignored: were it accepted, the mark would be an error of its own.
"""

# mypy: enable-error-code="arg-type"

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, assert_type

from attattr import Attribution, Attributions, Attributor, Example


def each_kind_of_input_has_its_kind_of_result(
    one: Attributor, tensors: dict[str, Any], mapping: Mapping[str, Any], texts: Sequence[str]
) -> list[Attribution]:
    assert_type(Attributor.from_pretrained("sst2"), Attributor)
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
    return one.attribute(texts)


def what_is_no_input_is_an_error(one: Attributor) -> None:
    one.attribute(1)  # type: ignore[call-overload]
    one.attribute([1])  # type: ignore[list-item]
    one.attribute(("a", "b", "c"), "d")  # type: ignore[arg-type]


def test_these_lines_are_checked():
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["mypy"]
    assert "tests" in settings["files"] and "exclude" not in settings
    assert settings["warn_unused_ignores"] and settings["check_untyped_defs"]
    assert not {"call-overload", "list-item", "assert-type"} & set(settings["disable_error_code"])


def test_the_package_says_that_it_is_typed():
    assert (files("attattr") / "py.typed").is_file()
