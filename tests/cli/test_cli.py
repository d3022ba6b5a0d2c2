"""The command line: what is shown, what is written where, and what is said when it goes wrong.

Most tests run `explain` in this process with a hand-made result in place of a model.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import attattr
import commands
import handmade
import tiny
from attattr.cli import options
from attattr.errors import InputError, ModelError
from attattr.report.terminal import view
from attattr.result.words import word_effects

ADAPTERS = Path(attattr.__file__).parent / "models" / "adapters"
needs_embedded = pytest.mark.skipif(
    not all((ADAPTERS / name).is_dir() for name in ("sst2", "mnli")), reason="no embedded models here"
)


class FakeAttributor:
    """Gives a made result; remembers what it was asked."""

    def __init__(self, result, error=None, warning=None):
        self.result, self.error, self.warning = result, error, warning
        self.opened: list = []
        self.asked: list = []
        self.model = SimpleNamespace(config=None, can_generate=lambda: False)

    def open(self, model, **asked):
        self.opened.append((model, asked))
        return self

    def attribute(self, *texts, progress, **asked):
        self.asked.append((texts[0] if isinstance(texts[0], tuple) else texts, asked))
        progress(1, 2, "layer")
        if self.warning:
            warnings.warn(self.warning, stacklevel=2)
        if self.error:
            raise self.error
        return self.result


@pytest.fixture
def run(monkeypatch):
    """run(arguments…, result=…) -> (outcome of the command, the fake)."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments, result=None, error=None, warning=None, stdin=None):
        fake = FakeAttributor(result or handmade.attribution(), error, warning)
        monkeypatch.setattr(options.TheModel, "attributor", lambda asked: fake.open(**vars(asked)))
        return commands.run("explain", *arguments, stdin=stdin), fake

    return call


def test_ray_is_looked_for_before_the_model(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(options.TheModel, "load", lambda asked: pytest.fail("the model was loaded"))
    (tmp_path / "x.tsv").write_text("sentence\tlabel\na film\t1\n")
    outcome = commands.run(
        "run", tmp_path / "x.tsv", "--model", "m", "--out", tmp_path / "o", "--engine", "ray"
    )
    fails(outcome, 2, "--engine ray needs Ray")


def test_json_is_strict_and_ascii_on_a_pipe(capsys, tmp_path):
    options.write_json("-", {"é": 1})
    assert capsys.readouterr().out == '{\n  "\\u00e9": 1\n}\n'
    options.write_json(str(tmp_path / "x.json"), {"é": 1})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        options.write_json("-", {"x": float("nan")})


def fails(outcome, code, *words):
    """One sentence, no traceback, nothing on standard output."""
    assert outcome.exit_code == code
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    for word in words:
        assert word in last, last


# -- options reach the engine --------------------------------------------------------------------------


def test_without_a_model_the_number_of_texts_chooses_and_it_is_said(run):
    outcome, fake = run("a fine film")
    assert fake.opened[0][0] == "sst2"
    assert "sst2" in outcome.stderr
    outcome, fake = run("one", "two")
    assert fake.opened[0][0] == "mnli"
    assert "mnli" in outcome.stderr
    assert fake.asked[0][0] == ("one", "two")
    outcome, fake = run("a", "--model", "some/model")
    assert fake.opened[0][0] == "some/model"
    assert outcome.stderr == ""


def test_a_text_that_names_a_file_is_read_and_that_is_said(run, tmp_path, monkeypatch):
    """The name of the file had been explained."""
    monkeypatch.chdir(tmp_path)
    Path("review.txt").write_bytes("\ufeffA fine film,\r\nnaïve.\r\n".encode())
    outcome, fake = run("./review.txt")
    assert fake.asked[0][0] == ("A fine film,\r\nnaïve.",)
    assert "Read the text from the file ./review.txt: 20 characters." in outcome.stderr
    outcome, fake = run("review.txt", "other.txt")
    assert fake.asked[0][0] == ("A fine film,\r\nnaïve.", "other.txt")  # what is not there is a text
    assert fake.opened[0][0] == "mnli"
    for text in ("a film", ".", "/", "a\0b", "x" * 70_000):
        outcome, fake = run(text)
        assert fake.asked[0][0] == (text,) and "Read" not in outcome.stderr


def test_a_dash_is_standard_input(run, tmp_path):
    assert run("-", stdin="naïve film\n".encode())[1].asked[0][0] == ("naïve film",)
    (tmp_path / "x").write_text("a film\n")
    assert run("-", str(tmp_path / "x"), stdin=b"good\n")[1].asked[0][0] == ("good", "a film")
    fails(run("-", stdin=b"")[0], 2, "standard input is empty")
    fails(run("-", stdin=b" \n")[0], 2, "standard input is empty")
    fails(run("-", stdin=b"caf\xe9")[0], 2, "standard input is not UTF-8")
    picture = io.BytesIO()
    Image.new("RGB", (3, 2)).save(picture, "PNG")
    fails(run("-", stdin=picture.getvalue())[0], 2, "standard input holds an image: save it")
    fails(run("-", "-", stdin=b"good")[0], 2, "standard input is one text")


def test_files_that_hold_no_text_are_told(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("latin").write_bytes(b"caf\xe9")
    Path("wide").write_bytes("a film".encode("utf-16"))
    handmade.attribution().save("saved.bin")
    fails(run("empty")[0], 2, "the file 'empty' is empty")
    fails(run("latin")[0], 2, "the file 'latin' is not UTF-8")
    fails(run("wide")[0], 2, "the file 'wide' is not UTF-8")
    fails(run("saved.bin")[0], 2, "show 'saved.bin' with attattr tree")
    fails(run("latin", "--json", "latin")[0], 2, "would replace 'latin', which is read")
    assert Path("latin").read_bytes() == b"caf\xe9"


def test_trees_and_figures_read_texts_as_explain_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("review.txt").write_text("a film\n")
    handmade.attribution().save("saved.bin")
    _, fake = run("a")  # the model's place is taken from here on
    for verb in (["tree"], ["figure", "--kind", "heads", "--out", "x.svg"]):
        assert "Read the text" in commands.run(*verb, "review.txt").stderr
        assert fake.asked[-1][0] == ("a film",)
        assert commands.run(*verb, "saved.bin").exit_code == 0
        fails(
            commands.run(*verb, "saved.bin", "review.txt"), 2, "'saved.bin' is a saved result: give it alone"
        )
    assert len(fake.asked) == 3
    fails(commands.run("figure", "review.txt", "--out", "review.txt"), 2, ".svg")
    fails(commands.run("tree", "review.txt", "--json", "review.txt"), 2, "would replace 'review.txt'")


def test_options_arrive_unchanged(run):
    _, fake = run(
        "a", "-m", "x", "--target", "joy", "--output", "logit", "--method", "riemann_right",
        "--n-steps", "20", "--tol", "0.01", "--baseline", "uniform", "--batch-size", "7", "--no-truncate",
        "--store", "edges", "--memory-budget", "1.5",
        "--labels", "a,b",
        "--revision", "r", "--trust-remote-code", "--device", "cpu", "--dtype", "float64",
    )  # fmt: skip
    assert fake.asked[0][1] == {
        "target": "joy", "output": "logit", "method": "riemann_right", "n_steps": 20, "tol": 0.01,
        "baseline": "uniform", "store": "edges", "internal_batch_size": 7, "memory_budget": 1_500_000_000,
        "truncate": False, "refine": None,
    }  # fmt: skip
    assert fake.opened[0][1] == {
        "labels": "a,b", "revision": "r", "trust_remote_code": True, "device": "cpu", "dtype": "float64",
        "device_map": None, "quantize": None, "attn_implementation": None, "subfolder": None,
        "local_files_only": False, "token": None,
    }  # fmt: skip


def test_defaults_are_the_librarys(run):
    _, fake = run("a")
    assert fake.asked[0][1] == {
        "target": None, "output": None, "method": "gausslegendre", "n_steps": "auto", "tol": 1e-3,
        "baseline": "zero", "store": "auto", "internal_batch_size": None, "memory_budget": None,
        "truncate": True, "refine": None,
    }  # fmt: skip
    assert fake.opened[0][1]["trust_remote_code"] is False


def test_another_text_is_the_baseline(run, tmp_path):
    _, fake = run("a", "--baseline-text", "zero")
    assert fake.asked[0][1]["baseline"] == ["zero"]  # a text, and no name
    _, fake = run("a", "b", "--baseline-text", "c", "--baseline-text", "d")
    assert fake.asked[0][1]["baseline"] == [("c", "d")]
    fails(run("a", "--baseline-text", "b", "--baseline", "uniform")[0], 2, "--baseline is another start")
    fails(run("a", "--baseline-text", " ")[0], 2, "empty")
    result = handmade.attribution()
    result.options["counterfactual"] = {"differs": {"input": [[2, "fine", "bad"]]}}
    outcome, _ = run("a", "--baseline-text", "b", result=result)
    assert "in which 1 token differs: 2 “fine” → “bad”" in " ".join(outcome.stdout.split())


# -- output --------------------------------------------------------------------------------------------


def test_json_on_standard_output_is_all_there_is(run):
    outcome, _ = run("a", "--json", "-", "--top", "2", warning="look out")
    facts = json.loads(outcome.stdout)
    assert facts == json.loads(json.dumps(handmade.attribution().to_json(2)))
    assert len(facts["edges"]) == 2
    assert "Warning: look out" in outcome.stderr


def test_files_are_written_beside_the_view(run, tmp_path):
    facts, saved = tmp_path / "facts.json", tmp_path / "x.attattr"
    outcome, _ = run("a", "--json", str(facts), "--save", str(saved))
    assert json.loads(facts.read_text(encoding="utf-8"))["schema_version"] == "1"
    assert attattr.load(saved).prediction.label == "positive"
    assert "positive" in outcome.stdout
    assert str(saved) in outcome.stderr
    assert sorted(os.listdir(tmp_path)) == ["facts.json", "x.attattr"]


def test_json_keeps_any_text(run, tmp_path):
    text = 'naïve "日本" \\ [bold]\n\U0001f600'
    for target in ("-", str(tmp_path / "facts.json")):
        outcome, _ = run("a", "--json", target, result=handmade.attribution(text=text))
        content = outcome.stdout if target == "-" else Path(target).read_text(encoding="utf-8")
        assert json.loads(content)["text"] == text


def test_warnings_are_sentences_and_deprecations_are_not_shown(run):
    outcome, _ = run("a", warning="padding moves this model's logits")
    assert "Warning: padding moves this model's logits\n" in outcome.stderr
    assert ".py" not in outcome.stderr
    outcome, _ = run("a", warning=FutureWarning("soon gone"))
    assert "soon gone" not in outcome.stderr


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], ["empty"]),
        ([" \t\n"], ["empty"]),
        (["a", "  "], ["empty"]),
        (["a", "b", "c"], ["not 3"]),
        (["bad \udcff byte"], ["UTF-8"]),
        (["a", "--top", "-1"], ["--top"]),
        (["a", "--top", "many"], ["--top"]),
        (["a", "--n-steps", "0"], ["--n-steps", "at least 1"]),
        (["a", "--n-steps", "few"], ["--n-steps", "few"]),
        (["a", "--method", "riemann_left"], ["--n-steps"]),
        (["a", "--method", "simpson"], ["--method"]),
        (["a", "--output", "odds"], ["--output"]),
        (["a", "--baseline", "mean"], ["--baseline"]),
        (["a", "--tol", "0"], ["--tol"]),
        (["a", "--tol", "nan"], ["--tol"]),
        (["a", "--save", "-"], ["--save"]),
        (["a", "--json", "x", "--save", "x"], ["same file"]),
        (["a", "--json", "no/such/folder/x.json"], ["no/such/folder/x.json"]),
        (["a", "--save", "no/such/folder/x"], ["no/such/folder/x"]),
        (["a", "--save", "."], ["folder"]),
        (["a", "--unknown"], ["--unknown"]),
        ([], ["TEXT"]),
    ],
)
def test_wrong_usage_is_found_before_anything_is_loaded(run, arguments, words):
    outcome, fake = run(*arguments)
    fails(outcome, 2, *words)
    assert fake.opened == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("unknown target 'joy': the model's labels are a, b"), 2, ["a, b"]),
        (ModelError("the adapter of 'sst2' is corrupted"), 1, ["corrupted"]),
        (RuntimeError("first line\nsecond"), 1, ["RuntimeError: first line second"]),
        (KeyError(), 1, ["KeyError"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
    ],
)
def test_errors_are_one_sentence_and_leave_no_file(run, tmp_path, error, code, words):
    outcome, _ = run(
        "a", "-m", "x", "--json", str(tmp_path / "j"), "--save", str(tmp_path / "s"), error=error
    )
    fails(outcome, code, *words)
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_is_said(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    outcome, _ = run("a", "-m", "x", "--save", str(tmp_path / "s"))
    assert outcome.exit_code == 1
    last = outcome.stderr.splitlines()[-1]
    assert last == f"Error: cannot write '{tmp_path / 's'}': No space left on device"
    assert "positive" in outcome.stdout and "Wrote" not in outcome.stderr
    assert os.listdir(tmp_path) == []


def test_the_traceback_is_there_for_who_asks(run, monkeypatch):
    monkeypatch.setenv("ATTATTR_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run("a", error=ZeroDivisionError())


# -- the view ------------------------------------------------------------------------------------------


def shown(result, top=10, colour=False, width=80, **settings):
    said = io.StringIO()
    Console(file=said, width=width, **settings).print(view(result, top, colour=colour))
    return said.getvalue()


def test_the_view_holds_every_fact():
    text = shown(handmade.attribution())
    lines = text.splitlines()
    assert "explaining the predicted class: positive 87.5 %" in lines
    assert any(line.split()[:2] == ["positive", "87.5%"] for line in lines)
    assert any(line.split()[:2] == ["negative", "12.5%"] for line in lines)
    edges = [line.split() for line in lines if "→" in line][1:]
    assert edges == [
        ["1", "0", "[CLS]", "→", "fine", "+0.5000", "0.750"],
        ["1", "1", "[CLS]", "→", "a", "-0.2500", "0.200"],
        ["0", "1", "[SEP]", "→", "fine", "+0.1250", "0.200"],
    ]
    assert "worst gap -1.2e-01 (0.17 of Σ|scores|) in encoder.layer.1." in text
    assert "4 to 8 nodes" in text
    assert "every layer converged" in text
    assert "What attending to each token gave in layer 1; together +0.25:" in lines
    for token, value in zip(
        handmade.attribution().tokens, word_effects(handmade.attribution()).values, strict=True
    ):
        assert f"{token}" in text
        assert f"{value:+.4f}" in text


def test_only_so_many_edges():
    assert shown(handmade.attribution(), top=1).count(" → ") == 2  # the heading has one
    assert "→" not in shown(handmade.attribution(), top=0)


@pytest.mark.parametrize("colour", [True, False])
def test_of_a_long_text_the_strongest_tokens_are_shown(colour):
    """A text of 1,300 tokens had been as many entries."""
    words = [f"w{i}" for i in range(600)]
    axis = handmade.axis(" ".join(words))
    n = len(axis.tokens)
    scores = np.zeros((1, n, n), np.float32)
    scores[0, 0] = np.arange(n) * np.where(np.arange(n) % 2, 1, -1) / n / n
    result = handmade.attribution(axes={"input": axis}, sites=(handmade.site("s", scores, scores),))
    lines = shown(result, top=0, colour=colour).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("What attending"))
    assert lines[at].startswith(f"What attending to each of {n} tokens (the 40 strongest) gave in layer 0;")
    at = at if lines[at].endswith(":") else at + 1
    entries = " ".join(lines[at + 1 : lines.index("", at)]).split()
    assert len(entries) == 3 * 40
    assert {int(entry) for entry in entries[::3]} == set(range(n - 40, n))
    assert entries[0] == str(n - 1) and float(entries[2]) == pytest.approx(
        word_effects(result).values[-1], abs=1e-4
    )


@pytest.mark.parametrize("store", ["auto", "dense", "edges", "heads"])
def test_what_is_kept_can_be_chosen(folder, tmp_path, store):
    saved, page = tmp_path / "x.attattr", tmp_path / "x.html"
    given = ("--model", folder, "--store", store, "--save", saved, "--html", page)
    done = commands.run("explain", "the film is not bad", *given)
    assert done.exit_code == 0, done.stderr
    found = attattr.load(saved)
    assert found.options["store"] == ("dense" if store == "auto" else store)
    assert ("Strongest" in done.stdout) == (store != "heads")
    assert page.is_file()


def test_words_are_whole_and_told_apart():
    text = shown(handmade.pair())
    assert "plays[play]" in text
    assert "man:2 → man:6" in text
    assert "the class contradiction 25.0 %, not predicted: neutral 50.0 %" in text


def test_texts_of_users_are_shown_to_the_letter():
    names = handmade.axis("[bold] [/] \x1b[31m :smile: \\[x] <b>")
    scores = np.zeros((1, 8, 8), np.float32)
    scores[0, 0, 1], scores[0, 2, 3] = 0.5, 0.25
    site = handmade.site("[red]layer[/red]", scores, scores)
    result = handmade.attribution(
        axes={"input": names}, sites=(site,), model={"name": "[blink]x[/blink]"}, left_out=("[/x]",)
    )
    for colour in (False, True):
        text = shown(result, colour=colour)
        for token in (
            "[bold]",
            "[/]",
            ":smile:",
            "\\[x]",
            "<b>",
            "\\x1b[31m",
            "[red]layer[/red]",
            "[blink]x",
        ):
            assert token in text, (colour, token)
        assert "\x1b[31m" not in text


def test_colours_tell_sign_and_strength(monkeypatch):
    monkeypatch.setenv("COLORFGBG", "0;15")
    text = shown(
        handmade.attribution(), colour=True, force_terminal=True, color_system="truecolor", no_color=False
    )
    line = next(line for line in text.splitlines() if "film" in line and "[CLS]" in line)
    strong, weak = "48;2;0;90;181m", "48;2;224;170;128m"
    assert f"{strong}fine\x1b" in line
    assert f"{weak}a\x1b" in line  # the other hue, -0.25 of 0.5
    assert "mfilm" not in line  # nothing: no colour


@pytest.mark.parametrize("colour", [True, False])
def test_nothing_is_wider_than_the_terminal(colour):
    long = handmade.attribution(
        axes={"input": handmade.axis("unbelievablylongword" * 8 + " b c")}, left_out=("layer",) * 50
    )
    for width in (80, 60):
        for line in shown(long, colour=colour, width=width).splitlines():
            assert len(line) <= width


def test_what_limits_the_result_is_said():
    base = handmade.attribution()
    text = shown(handmade.attribution(truncated=True, left_out=("model.layers.0", "model.layers.2")))
    assert "its end was cut off" in text
    assert "Not attributed, 2 layers: model.layers.0, model.layers.2" in text
    from dataclasses import replace

    bad = replace(base.sites[1], converged=False)
    text = shown(replace(base, sites=(base.sites[0], bad)))
    assert "1 of 2 layers did NOT converge" in text
    assert "encoder.layer.1" in text.splitlines()[-1]


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_the_view_shows_what_the_store_holds(store):
    text = shown(handmade.attribution(store), top=3)
    assert ("→" in text) == (store == "edges")
    assert ("What attending" in text) == (store == "edges")
    assert "every layer converged" in text


def test_small_scores_keep_their_digits():
    scores = np.zeros((1, 5, 5), np.float32)
    scores[0, 0, 2] = 3e-6
    result = handmade.attribution(sites=(handmade.site("s", scores, scores),))
    assert "+3.00e-06" in shown(result)


def test_a_difference_and_a_continuation_are_named():
    target = attattr.Target("difference", "yes - no", (1, 0), "logit", 2.5)
    assert "the difference yes - no (logit 2.5)" in shown(handmade.attribution(target=target))
    target = attattr.Target("continuation", " Paris\n", (1, 0), "log_probability", -2.5)
    assert 'the continuation " Paris\\n" 8.2 % (log probability -2.5)' in shown(
        handmade.attribution(target=target)
    )


def test_all_zero_scores_are_shown_without_edges():
    nothing = np.zeros((1, 5, 5), np.float32)
    text = shown(handmade.attribution(sites=(handmade.site("s", nothing, nothing),)))
    assert "Strongest 0 edges" in text


# -- as a program --------------------------------------------------------------------------------------


def attattr_command(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "attattr", *arguments], capture_output=True, text=True, timeout=300, **settings
    )


def test_the_version():
    done = attattr_command("--version")
    assert done.stdout == f"attattr {attattr.__version__}\n"


def test_help_names_every_verb():
    done = attattr_command("--help")
    assert done.returncode == 0
    for verb in ("explain", "evaluate", "check", "models"):
        assert f"  {verb} " in done.stdout


def test_a_wrong_verb_is_usage():
    done = attattr_command("explian", "x")
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert done.stdout == ""


def test_an_unknown_model_is_one_sentence_without_noise():
    done = attattr_command(
        "explain", "a", "--model", "./no/such/folder", env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
    assert "./no/such/folder" in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random model of two classes, with its tokenizer."""
    where = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "no", 1: "yes"}, {"no": 0, "yes": 1}
    model.save_pretrained(where)
    tiny.tokenizer().save_pretrained(where)
    return str(where)


def test_a_folder_is_explained_end_to_end_as_the_library_does_it(folder, tmp_path):
    saved = tmp_path / "x.attattr"
    done = commands.run(
        "explain",
        "the film is not bad",
        "--model",
        folder,
        "--target",
        "yes",
        "--json",
        "-",
        "--save",
        str(saved),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    facts, result = json.loads(done.stdout), attattr.load(saved)
    attributor = attattr.Attributor.from_pretrained(folder)
    expected = attributor.attribute("the film is not bad", target="yes")
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-4, atol=1e-7)
    assert facts["tokens"] == ["[CLS]", "the", "film", "is", "not", "bad", "[SEP]"] == list(expected.tokens)
    assert facts["target"]["label"] == "yes"
    assert facts["edges"] == result.to_json(10)["edges"]
    for site, scores in zip(facts["sites"], result.scores, strict=True):
        gap = scores.sum() - (facts["target"]["value"] - site["baseline_output"])
        assert gap == pytest.approx(site["completeness_gap"], abs=1e-5)


def test_a_text_too_long_is_cut_with_a_warning_or_refused(folder):
    text = "film " * 100
    done = commands.run("explain", text, "--model", folder, "--top", "1")
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: ")
    assert "its end was cut off" in done.stdout
    fails(commands.run("explain", text, "--model", folder, "--no-truncate"), 2, "102", "64")


def test_a_label_the_model_does_not_have_lists_those_it_has(folder):
    fails(commands.run("explain", "film", "--model", folder, "--target", "joy"), 2, "joy", "no, yes")


@needs_embedded
def test_a_pair_and_a_sentence_are_explained_end_to_end(tmp_path):
    facts, saved = tmp_path / "facts.json", tmp_path / "x.attattr"
    done = commands.run(
        "explain", "A man is eating.", "Nobody is eating.", "--json", str(facts), "--save", str(saved)
    )
    assert done.exit_code == 0, done.stderr
    assert "explaining the predicted class: contradiction" in done.stdout
    assert "every layer converged" in done.stdout
    found = json.loads(facts.read_text(encoding="utf-8"))
    result = attattr.load(saved)
    assert found["prediction"]["label"] == result.prediction.label == "contradiction"
    assert found["edges"][0]["score"] == result.top_edges(1)[0].score
    assert set(found["segments"]) == {None, 0, 1}
    for site, scores in zip(found["sites"], result.scores, strict=True):
        gap = scores.sum() - (found["target"]["value"] - site["baseline_output"])
        assert gap == pytest.approx(site["completeness_gap"], abs=1e-5)
    done = commands.run("explain", "A warm, funny and clever film.", "--json", "-")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["prediction"]["label"] == "positive"


@needs_embedded
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "b", "--model", "sst2"], ["single texts"]),
        (["a", "--target", "joy"], ["joy", "negative, positive"]),
        (["film " * 600, "--no-truncate"], ["512"]),
    ],
)
def test_what_the_model_cannot_use_is_said_in_its_terms(arguments, words):
    fails(commands.run("explain", *arguments), 2, *words)


def test_on_a_terminal_there_are_colours_and_a_pipe_gets_numbers(folder, monkeypatch):
    command = [sys.executable, "-m", "attattr", "explain", "a bad film", "--model", folder]
    leader, follower = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    parts = []
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        parts.append(part)
    assert process.wait(60) == 0
    os.close(leader)
    assert b"\x1b[" in b"".join(parts)
    assert b"48;2;" in b"".join(parts)
    monkeypatch.setenv("COLUMNS", "80")
    assert "\x1b" not in commands.run(*command[3:]).stdout


def test_check_measures_half_precision_against_float32():
    plain, half = (
        commands.run("check", "sst2", "--tokens", "8", "--dtype", d) for d in ("float32", "bfloat16")
    )
    assert plain.exit_code == half.exit_code == 0
    assert "those in float32" not in plain.output
    off = float(re.search(r"Scores are ([\d.]+)% from those in float32", half.output).group(1))
    assert 0.1 < off < 10


# -- how a model is opened -------------------------------------------------------------------------------


def test_options_of_loading_are_handed_on_as_they_were_given(run):
    given = '{"": "cpu"}'
    _, fake = run(
        "a", "--model", "m", "--device-map", given, "--attn", "eager", "--token", "t", "--dtype", "auto"
    )
    ((name, asked),) = fake.opened
    opening = options.TheModel(model=name, **{key: asked[key] for key in options.OPENING}).opening
    assert opening["device_map"] == {"": "cpu"}
    assert (opening["attn_implementation"], opening["token"], opening["dtype"]) == ("eager", "t", "auto")
    assert "secret" not in repr(options.TheModel("m", token="secret"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device-map", "{cpu}"], "--device-map takes auto or"),
        (["--device-map", "auto", "--device", "cpu"], "leave the device out, or the map"),
        (["--quantize", "8bit", "--model", "sst2"], "--quantize has no effect on an embedded model"),
        (["--subfolder", "x"], "the folder '{}/x'"),
        (["--local-files-only"], "--local-files-only is for models of the hub"),
    ],
)
def test_options_of_loading_that_cannot_be_used(tmp_path, arguments, message):
    tiny.bert().save_pretrained(tmp_path)
    model = [] if "--model" in arguments else ["--model", tmp_path]
    fails(commands.run("explain", "a film", *model, *arguments), 2, message.format(tmp_path))
