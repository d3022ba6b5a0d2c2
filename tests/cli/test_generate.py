"""attattr generate, on a tiny random model with a chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import attattr
import chats
import commands
import tiny
from attattr.result.generation import Generation

FEW = ("--n-steps", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return chats.folder(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def written(tmp_path):
    """A chat and its documents as files; the options that name them."""
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(chats.CHAT), encoding="utf-8")
    sources = []
    for name, text in chats.DOCUMENTS.items():
        (tmp_path / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")
        sources += ["--source", f"{name}={tmp_path / name}.txt"]
    return ["--chat", file, *sources]


def test_the_example_rests_on_the_two_documents_that_it_asks_of():
    if not (Path(attattr.__file__).parent / "models" / "whole" / "facts").is_dir():
        pytest.skip("no embedded model facts here")
    ask = Path(__file__).parents[2] / "examples" / "ask.json"
    done = commands.run("generate", "--chat", ask, "--model", "facts", "--json", "-", "--top", 0)
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["reply"] == "Tisa owns the large lamp, and Breko owns the golden violin."
    (span,) = facts["spans"]
    ranked = sorted(zip(span["effect"], facts["columns"], strict=True), reverse=True)
    assert {name for _, name in ranked[:2]} == {"document 1", "document 2"}


def test_a_chat_with_its_documents(folder, written, tmp_path):
    saved, page = tmp_path / "made.attattr", tmp_path / "made.html"
    done = commands.run(
        "generate", *written, "--model", folder, "--max-new-tokens", 3, *FEW, "--spans", "token",
        "--save", saved, "--html", page, "--json", tmp_path / "made.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "cut at the limit of tokens" in done.stdout and "reply so far" in done.stdout
    assert "Warning: the reply was cut at 3 tokens" in done.stderr and "--max-new-tokens" in done.stderr
    assert done.stderr.count("Wrote the") == 3
    made = attattr.load(saved)
    assert isinstance(made, Generation) and made.columns == (*chats.DOCUMENTS, "reply so far")
    shown = json.loads(page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert len(made.spans) == 3 and "".join(shown["words"]["text"]) == made.reply
    facts = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert facts["reply"] == made.reply and len(facts["spans"][0]["edges"]) == 10
    assert [each["name"] for each in facts["sources"]] == [*chats.DOCUMENTS]
    again = commands.run("generate", saved)
    assert again.exit_code == 0 and again.stdout == done.stdout
    for verb, more in (("tree", []), ("figure", ["--out", tmp_path / "x.svg"])):
        refused = commands.run(verb, saved, *more)
        assert refused.exit_code == 2 and "show it with attattr generate" in refused.stderr


def test_a_text_as_it_is_from_standard_input_and_a_contrast(folder):
    done = commands.run(
        "generate", "-", "--model", folder, "--continuation", "good film", "--contrast", "bad man", *FEW,
        "--json", "-", "--top", 0, stdin=chats.TEXT,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["prompt"] == chats.TEXT and facts["turns"] == [] and facts["stopped"] == "given"
    assert facts["contrast"]["text"] == "bad man" and len(facts["spans"]) == 1
    logs = [facts["spans"][0]["log_probability"], facts["contrast"]["log_probability"]]
    assert facts["value"] == pytest.approx(logs[0] - logs[1])
    assert "--chat or --system uses the chat template" in done.stderr


def test_a_system_makes_it_a_chat_and_ranges_are_spans(folder):
    done = commands.run(
        "generate", chats.QUESTION, "--system", "the film is fine", "--model", folder, *FEW,
        "--continuation", "good film man", "--spans", "0-4, 5-13", "--json", "-",
    )  # fmt: skip
    facts = json.loads(done.stdout)
    assert [turn["role"] for turn in facts["turns"]] == ["system", "user"]
    assert [(span["start"], span["end"]) for span in facts["spans"]] == [(0, 4), (5, 13)]
    assert "chat template" not in done.stderr


def test_a_source_with_the_line_ends_of_the_prompt(folder, tmp_path):
    (tmp_path / "one.txt").write_bytes(b"a man\r\neats\r\n")
    (tmp_path / "all.txt").write_bytes(b"the film\r\na man\r\neats\r\nnobody")
    done = commands.run(
        "generate", tmp_path / "all.txt", "--model", folder, "--source", f"one={tmp_path / 'one.txt'}", *FEW,
        "--continuation", "good", "--json", "-",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["sources"][0]["text"] == "a man\r\neats"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give either a PROMPT or --chat"),
        (["the film", "--chat", "{chat}"], "give either a PROMPT or --chat"),
        (["the film"], "which model?"),
        (["--chat", "{chat}", "--system", "x"], "--system goes with a PROMPT"),
        (["--chat", "{folder}/none.json"], "cannot be read"),
        (["--chat", "{folder}/notes.txt"], "is no JSON"),
        (["--chat", "{folder}/text.json"], "holds no list of messages"),
        (["the film", "--source", "x"], "--source takes NAME=FILE"),
        (["the film", "--source", "x={folder}/none"], "cannot be read"),
        (["film", "--source", "x={folder}/notes.txt", "--source", "x={chat}"], "two of the sources"),
        (["the film", "--continuation", "good", "--seed", "1"], "--seed is of a reply that the model writes"),
        (["{folder}/none.attattr", "--spans", "whole"], "--spans is of a reply to be explained"),
        (["{folder}/none.attattr", "--model", "x"], "--model is of a model"),
        (["{folder}/none.attattr"], "there is no file"),
        (["the film", "--html", "-"], "--html cannot go to standard output"),
        (["the film", "--tol", "0"], "--tol must be positive"),
    ],
)
def test_what_is_refused_before_a_model_is_loaded(options, said, tmp_path):
    (tmp_path / "chat.json").write_text(json.dumps(chats.CHAT))
    (tmp_path / "notes.txt").write_text("no json")
    (tmp_path / "text.json").write_text('"the film"')
    given = [each.format(chat=tmp_path / "chat.json", folder=tmp_path) for each in options]
    done = commands.run("generate", *given)
    assert done.exit_code == 2 and said in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_model_refuses(folder, written, tmp_path):
    for options, said in (
        (["--chat", written[1], "--source", f"x={written[1]}"], "the source 'x' is not in the prompt"),
        (["the film", "--continuation", " "], "a text of at least one token"),
        (["the film", "--spans", "words"], "choose one of whole, sentence, token"),
        (["the film", "--contrast", "bad", "--spans", "token"], "it goes with --spans whole"),
        (["the film " * 40], "the model takes 64 at most"),
    ):
        done = commands.run("generate", *options, "--model", folder)
        assert done.exit_code == 2 and said in done.stderr, (options, done.stderr)
    done = commands.run("generate", "a fine film", "--model", "sst2")
    assert done.exit_code == 2 and "is a classifier and writes no text: attattr explain" in done.stderr


def test_explain_points_to_it_for_language_models_alone(folder):
    done = commands.run("explain", "the film is", "--model", folder, "--n-steps", "2")
    assert done.exit_code == 0 and done.stderr.count("attattr generate explains") == 1
    assert "attattr generate" not in commands.run("explain", "a fine film", "--n-steps", "2").stderr


def test_help_has_an_example():
    done = commands.run("generate", "--help")
    assert "Example: attattr generate --chat" in done.stdout and "--source NAME=FILE" in done.stdout


def test_what_was_loaded_is_the_folder(folder):
    lm = attattr.Attributor.from_pretrained(str(folder))
    assert lm.tokenizer.chat_template == chats.TEMPLATE and isinstance(lm.model, type(tiny.llama()))
