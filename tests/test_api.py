"""The public names, and that they cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import attattr

PUBLIC = [
    "AttAttrError",
    "Attack",
    "Attribution",
    "AttributionTree",
    "Attributions",
    "Attributor",
    "Axis",
    "Check",
    "Correlation",
    "Edge",
    "Edges",
    "Effectiveness",
    "Effects",
    "Evaluation",
    "Example",
    "Faithfulness",
    "FileFormatError",
    "Flow",
    "FlowEdge",
    "FlowSite",
    "Generation",
    "HeadRanking",
    "Importance",
    "InputError",
    "Mask",
    "ModelError",
    "Pattern",
    "PatternToken",
    "Prediction",
    "PruneCurves",
    "Pruned",
    "Reach",
    "Run",
    "Site",
    "Source",
    "SourceTable",
    "Span",
    "TakenOut",
    "Target",
    "TreeEdge",
    "UnsupportedModelError",
    "Work",
    "__version__",
    "attack_model",
    "attribute_data",
    "build_flow",
    "build_tree",
    "check_model",
    "correlate",
    "evaluate_model",
    "heads_to_keep",
    "load",
    "load_heads",
    "load_pruned",
    "measure_effectiveness",
    "measure_effects",
    "measure_faithfulness",
    "merge_words",
    "mine_triggers",
    "open_run",
    "prune_curves",
    "prune_model",
    "rank_heads",
    "read_examples",
    "read_patterns",
    "receptive_field",
    "without_sources",
    "write_pruned",
]
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "pandas", "scipy", "matplotlib", "peft", "numpy")


def loaded_after(code: str) -> set[str]:
    """Heavy modules that are loaded after a program."""
    program = f"import sys\n{code}\nprint(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_the_public_names_are_these():
    assert sorted(attattr.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(attattr))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there(name):
    thing = getattr(attattr, name)
    assert thing is getattr(attattr, name)
    if isinstance(thing, type):
        assert thing.__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = attattr.nothing_of_ours


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import attattr; attattr.InputError") == set()


def test_results_are_read_without_torch():
    assert loaded_after("import attattr; attattr.load; attattr.Attribution") == {"numpy"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["explain", "--help"], ["evaluate", "--help"]]
)
def test_help_loads_nothing_heavy(arguments):
    code = f"sys.argv = ['attattr', *{arguments!r}]\nfrom attattr.cli import main\n"
    assert (
        loaded_after(code + "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code") == set()
    )


def test_explain_loads_what_it_needs_alone():
    """None of these has a part in an explanation. (pydantic is loaded by typer.)"""
    others = ("datasets", "pyarrow", "pandas", "matplotlib", "networkx", "starlette", "uvicorn", "ray")
    program = (
        "import sys\nsys.argv = ['attattr', 'explain', 'A fine film.']\nfrom attattr.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded:', *[m for m in {others!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "positive" in done.stdout
    assert done.stderr.splitlines()[-1] == "loaded:"
