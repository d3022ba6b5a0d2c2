"""The examples in the docstrings, and what the README says of the embedded models."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
import transformers as t

import attattr
import chats
import handmade
import tiny
from attattr.models import embedded

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = ROOT / "src" / "attattr" / "models" / "adapters"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(attattr.__path__, "attattr.")
    if module.name != "attattr.__main__"
)
EMBEDDED = re.compile(r'["\'](sst2|mnli|snli|mrpc|rte)["\']')


def _examples(name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_do_what_they_say(name, tmp_path, monkeypatch):
    """`result`, `generation`, `folder` and `np` are there for every example."""
    monkeypatch.setenv("COLUMNS", "80")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    left_out = 0
    for test in _examples(name):
        needed = {
            found
            for e in test.examples
            if not e.options.get(doctest.SKIP)
            for found in EMBEDDED.findall(e.source)
        }
        if any(not (ADAPTERS / each).is_dir() for each in needed):
            left_out += 1
            continue
        test.globs |= {
            "result": handmade.attribution(),
            "generation": handmade.generation(),
            "folder": tmp_path,
            "np": np,
        }
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
    if left_out and not runner.tries:
        pytest.skip("needs embedded models that are not here")


def test_public_classes_and_functions_lead_with_an_example():
    for name in ("Attributor", "Attribution", "Site", "load", "Example", "read_examples"):
        thing = getattr(attattr, name)
        assert ">>>" in (thing.__doc__ or "") or name == "Example", name


def _between(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name}:begin -->(.*?)<!-- {name}:end -->", text, re.DOTALL)
    assert found, f"README.md lacks the marks {name}:begin and {name}:end"
    return found[1]


def test_the_models_in_the_readme_are_those_of_the_cards():
    table = _between((ROOT / "README.md").read_text(encoding="utf-8"), "models")
    cards = embedded.cards().values()
    expected = [
        f"| `{card['name']}` | {card['task']} | {', '.join(card['labels'] or ['text'])} "
        f"| {card['dev']['shipped']['accuracy']:.1%} | {card['dev']['shipped']['n']:,} "
        f"| {card['bytes'] / 1e6:.1f} MB |"
        for card in cards
    ]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(expected), "README.md should list:\n" + "\n".join(expected)


def test_links_in_the_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        text = document.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)\)", text):
            if not link.startswith(("http:", "https:", "mailto:")):
                assert (document.parent / link).exists(), f"{document.name} links to {link}"


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "lint", "check"])
def test_targets_named_in_the_documents_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_what_gates_a_change_stands_in_the_readme_and_holds_lint_and_tests():
    gate = re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert gate == ["check"] and "make check" in readme and "make test" in readme
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    parts = {"test-python", "test-ui-where-npm-is"}
    for target, more in (("test", set()), ("check", {"lint"})):
        (lines,) = re.findall(rf"^{target}: .*\n((?:\t\$\(MAKE\) .*\n)+)", makefile, re.MULTILINE)
        named = {word for word in lines.split() if re.search(rf"^{word}:", makefile, re.MULTILINE)}
        assert named == parts | more
    assert all(f"$(BIN)/{tool}" in makefile for tool in ("ruff check .", "ruff format --check .", "mypy\n"))


def test_the_library_in_the_readme_runs(tmp_path, monkeypatch):
    if not (ADAPTERS / "mnli").is_dir():
        pytest.skip("needs the embedded model mnli")
    monkeypatch.chdir(tmp_path)
    mnli = attattr.Attributor.from_pretrained("mnli")
    pairs = [
        attattr.Example("A man is eating.", "Nobody is eating."),
        attattr.Example("It rains.", "It is wet."),
    ]
    attattr.attribute_data(mnli, pairs, "runs/mnli")
    found: dict = {}
    for block in re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    ):
        exec(block, found)
    assert found["run"].inputs.count_rows() == 2
    assert found["again"].prediction == found["result"].prediction


def test_the_examples_of_every_head_run(tmp_path, monkeypatch):
    """Those of docs/targets.md, on tiny random models whose tokenizer knows the page's words."""
    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    words = sorted(set(re.findall(r"[A-Za-z]+", page)))
    labels = dict(enumerate(("O", "B-LOC", "B-PER")))
    kinds = {
        "ner": (
            t.BertForTokenClassification,
            {"id2label": labels, "label2id": {v: k for k, v in labels.items()}},
        ),
        "qa": (t.BertForQuestionAnswering, {}),
        "mlm": (t.BertForMaskedLM, {}),
        "stsb": (t.BertForSequenceClassification, {"num_labels": 1}),
        "embeddings": (t.BertModel, {}),
    }
    for name, (kind, facts) in kinds.items():
        tokenizer = tiny.tokenizer(mask=True, more=words)
        config = t.BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, **facts,
        )  # fmt: skip
        kind(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, found)
        if "result" in found and found["result"].target.kind == "span":
            assert found["result"].target.label == found["result"].prediction.label
            assert found["qa"].attribute(found["question"], found["text"], target="Paris").target.index == (
                9,
                9,
            )
    assert set(kinds) - {"stsb"} < found.keys() and found["result"].target.kind == "similarity"


@pytest.mark.filterwarnings("ignore:the reply was cut", "ignore:.*less exact than asked for")
def test_the_example_of_generated_text_runs(tmp_path, monkeypatch):
    """That of docs/generation.md, on a tiny random chat model that knows the page's words."""
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "generation.md").read_text(encoding="utf-8"), re.DOTALL
    )
    tokenizer = chats.tokenizer(more=sorted(set(re.findall(r"[A-Za-z]+|[.?]", block))))
    model = tiny.gpt2()
    model.resize_token_embeddings(len(tokenizer))
    chats.folder(tmp_path / "lm", model, tokenizer)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(block, found)
    assert found["table"].sources[:2] == ("atlas", "diary") and found["again"].reply == found["made"].reply
    assert [span.text for span in found["given"].spans] == ["Ada", "lives", "in", "Italy", "."]
    assert found["other"].contrast.text == "Ada lives in Rome ."


def test_the_modules_in_the_architecture_exist():
    document = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "attattr"
    rooms = set(re.findall(r"^\| \d+ \| `(\w+)/` \|", document, re.M))
    assert rooms == {path.parent.name for path in package.glob("*/__init__.py")}
    engine = document[document.index("In `engine/`") :].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", engine))
    assert named == {path.stem for path in (package / "engine").glob("*.py")} - {"__init__"}
    paths = set(re.findall(r"`(\w+/\w+\.py)`", document))
    places = (package, package.parent, ROOT)
    assert len(paths) > 3
    assert [path for path in sorted(paths) if not any((place / path).is_file() for place in places)] == []
