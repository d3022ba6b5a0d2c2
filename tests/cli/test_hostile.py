"""Commands that nobody should give: each ends in one sentence and an exit code, and leaves nothing."""

from __future__ import annotations

import base64
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

import handmade
import hostile
from attattr import load
from attattr.cli import verbs
from hostile import command, files_in, kept

# -- what fails before a model is loaded: a table -------------------------------------------------------

TABLE = """
explain
explain --json
explain "" --model m
explain "   " --model m
explain a b c --model m
explain {surrogate}
explain {long} --tol nan
explain text --tol -1
explain text --tol x
explain text --tol ""
explain text --top -1
explain text --top 1.5
explain text --n-steps 0
explain text --n-steps -3
explain text --n-steps x
explain text --n-steps ""
explain text --method riemann_left
explain text --method nonsense
explain text --output nonsense
explain text --baseline nonsense
explain text --batch-size 0
explain text --batch-size -7
explain text --json ""
explain text --json folder
explain text --json none/no/x.json
explain text --save -
explain text --html -
explain text --json x --save x
explain text --nonsense
explain text --model
explain r.attattr
explain text --json s3://bucket/x
tree r.attattr --model m
tree r.attattr --dtype float16
tree r.attattr --labels a,b
tree r.attattr --revision main
tree r.attattr --device cpu
tree r.attattr --trust-remote-code
tree r.attattr text
tree nope.attattr
tree text.attattr
tree empty.attattr
tree cut.attattr
tree folder.attattr
tree heads.attattr
tree r.attattr --threshold nan
tree r.attattr --threshold -0.1
tree r.attattr --threshold 1
tree r.attattr --threshold inf
tree r.attattr --figure x.jpg
tree r.attattr --figure ""
tree r.attattr --figure folder
tree r.attattr --figure .svg
tree r.attattr --json r.attattr
tree gone.attattr
tree text --threshold 7
figure
figure r.attattr
figure r.attattr --out x
figure r.attattr --out x.bmp
figure r.attattr --out -
figure r.attattr --out x.svg --kind nonsense
figure r.attattr --out x.svg --layer 0
figure r.attattr --out x.svg --head 0
figure r.attattr --out x.svg --kind matrix --head 0
figure r.attattr --out x.svg --kind matrix --layer 99 --head 0
figure r.attattr --out x.svg --kind matrix --layer -1 --head 0
figure r.attattr --out x.svg --kind matrix --layer 0 --head 99
figure r.attattr --out x.svg --kind heads --threshold 0.4
figure r.attattr --out x.svg --kind matrix --threshold 0.4
figure r.attattr --out x.svg --kind tokens --threshold 0.4
figure r.attattr --out x.svg --kind heads --words
figure r.attattr --out x.svg --attention
figure heads.attattr --out x.svg
figure heads.attattr --out x.svg --kind tokens
figure heads.attattr --out x.svg --kind matrix
figure heads.attattr --out x.svg --kind heads --attention
figure cut.attattr --out x.svg
figure r.attattr --out none/no/x.svg
generate
generate word
generate word --model m
generate word --chat nope.json --model m
generate --chat nope.json --model m
generate --chat bad.jsonl --model m
generate word --source a --model m
generate word --source a=nope --model m
generate word --spans word --model m
generate r.attattr
generate cut.attattr
generate nope.attattr
generate word --model m --json none/no/x.json
run t.tsv --generate --model m --out new
run t.tsv --spans token --model m --out new
evaluate
evaluate t.tsv
evaluate nope.tsv --model m
evaluate nope --model m
evaluate empty.tsv --model m
evaluate header.tsv --model m
evaluate blank.tsv --model m
evaluate nameless.tsv --model m
evaluate twice.tsv --model m
evaluate other.tsv --model m
evaluate utf16.tsv --model m
evaluate latin.tsv --model m
evaluate binary.tsv --model m
evaluate ragged.csv --model m
evaluate later.csv --model m
evaluate bad.jsonl --model m
evaluate list.jsonl --model m
evaluate numbers.jsonl --model m
evaluate nested.jsonl --model m
evaluate deep.jsonl --model m
evaluate bad.parquet --model m
evaluate empty.parquet --model m
evaluate plain.tsv.gz --model m
evaluate cut.tsv.gz --model m
evaluate x.pdf --model m
evaluate folder --model m
evaluate folder.tsv --model m
evaluate pipe --model m
evaluate gone --model m
evaluate "" --model m
evaluate {long} --model m
evaluate {surrogate} --model m
evaluate {nul}.tsv --model m
evaluate t.tsv --model m --seed -1
evaluate t.tsv --model m --seed 1.5
evaluate t.tsv --model m --seed 3
evaluate t.tsv --model m --limit 0
evaluate t.tsv --model m --limit -1
evaluate t.tsv --model m --limit 2 --seed -1
evaluate t.tsv --model m --limit x
evaluate t.tsv --model m --split test
evaluate t.tsv --model m --text-columns a,b,c
evaluate t.tsv --model m --text-columns ""
evaluate t.tsv --model m --text-columns nope
evaluate t.tsv --model m --label-column nope
evaluate t.tsv --model m --label-column ""
evaluate t.tsv --model m --batch-size 0
evaluate t.tsv --model m --json t.tsv
evaluate t.tsv --model nope/nope/nope
evaluate t.tsv --model ./nope
evaluate t.tsv --model none
evaluate t.tsv --model pipe
evaluate t.tsv --model {long}
evaluate t.tsv --model {nul}
evaluate t.tsv --model {surrogate}
evaluate t.tsv --model ""
evaluate t.tsv --model no-such-model-here
evaluate t.tsv --model m --dtype int8
evaluate t.tsv --model m --dtype ""
evaluate t.tsv --model m --device nonsense
evaluate t.tsv --model m --device cuda:99
evaluate t.tsv --model m --device meta
evaluate t.tsv --model m --device ""
evaluate t.tsv --model sst2 --revision main
evaluate t.tsv --model sst2 --trust-remote-code
evaluate http://[::1/x.tsv --model m
evaluate http://127.0.0.1:1/x.tsv --model m
evaluate nonsense://x.tsv --model m
evaluate http://me:secret@127.0.0.1:1/x.tsv --model m
evaluate file://nope.tsv --model m
run t.tsv --model m
run t.tsv --model m --out ""
run t.tsv --model m --out -
run t.tsv --model m --out t.tsv
run t.tsv --model m --out t.tsv/x
run t.tsv --model m --out pipe
run t.tsv --model m --out new --engine nonsense
run t.tsv --model m --out new --workers 3
run t.tsv --model m --out new --ray-address x
run t.tsv --model m --out new --n-steps 0
run t.tsv --model m --out new --method riemann_left
run t.tsv --model m --out new --seed 3
run t.tsv --model m --out new --seed -1
run t.tsv --model m --out new --shard-size 0
run nope.tsv --model m --out new
faithfulness t.tsv --model m --threshold 2
faithfulness t.tsv --model m --threshold nan
faithfulness t.tsv --model m --seed -1
faithfulness t.tsv --model m --limit 0
faithfulness nope.tsv --model m
heads
heads nonsense
heads rank t.tsv --model m --criterion taylor --reduce sum
heads rank t.tsv --model m --criterion random --target predicted
heads rank t.tsv --model m --seed -1
heads rank t.tsv --model m --out -
heads rank t.tsv --model m --figure x.gif
heads effectiveness t.tsv --model m --seed -1
heads effectiveness nope.tsv --model m
heads compare
heads compare h.parquet
heads compare h.parquet nope.parquet
heads compare h.parquet text.parquet
heads compare h.parquet cut.parquet
heads compare h.parquet folder.parquet
heads compare h.parquet two.parquet
heads compare h.parquet bad.parquet
heads compare h.parquet h.parquet --criterion nonsense
heads compare h.parquet h.parquet --figure x.txt
heads compare h.parquet pipe
prune
prune model --model m --heads h.parquet
prune model --model m --heads nope.parquet --out new
prune model --model m --heads cut.parquet --out new
prune model --model m --heads h.parquet --out folder --limit 3
prune model --model m --heads h.parquet --out new --seed 3
prune model --model m --heads h.parquet --out new --limit 3
prune model --model m --heads h.parquet --out new --split test
prune model --model m --heads h.parquet --out new --label-column x
prune model --model m --heads h.parquet --out new --format nonsense
prune model --model m --heads h.parquet --out new --criterion nonsense
prune model --model m --heads h.parquet --out none/../h.parquet
prune curve t.tsv --model m --seed -1
prune curve t.tsv --model m --steps 0
prune curve t.tsv --model m --rank-limit 1
triggers mine t.tsv --model m
triggers mine nope.tsv --model m --out new
triggers mine t.tsv --model m --out new --top 0
triggers mine t.tsv --model m --out new --seed -1
triggers attack t.tsv --model m
triggers attack t.tsv --model m --patterns nope
triggers attack t.tsv --model m --patterns bad.patterns
triggers attack t.tsv --model m --patterns binary.patterns
triggers attack t.tsv --model m --patterns empty.patterns
triggers attack t.tsv --model m --patterns folder
triggers attack t.tsv --model m --patterns p.jsonl --seed -1
triggers attack t.tsv --model m --patterns p.jsonl --insert-into nonsense
triggers report nope.json --out x.html
triggers report bad.json --out x.html
triggers report other.json --out x.html
triggers report list.json --out x.html
triggers report deep.json --out x.html
triggers report folder.json --out x.html
triggers report other.json --out x.txt
triggers report other.json --out x.html --labels a,b
triggers report other.json --out x.html --dtype float16
check
check nope/nope/nope
check m --tokens x
check m --tokens ""
check m --tokens 1,,2
serve --port -1
serve --port 99999
serve --port x
serve --labels a,b
serve --revision main
serve --trust-remote-code
models --json ""
models --json folder
models --json none/no/x
models nonsense
nonsense
--nonsense
""
"""
WORDS = {"{surrogate}": "film \ud800", "{nul}": "a\0b", "{long}": "x" * 70_000, '""': ""}
COMMANDS = [
    tuple(
        WORDS.get(word, word.replace("{nul}", WORDS["{nul}"]))
        for word in line.replace('"   "', "{blank}").split()
    )
    for line in TABLE.strip().splitlines()
]
COMMANDS = [tuple(word.replace("{blank}", "   ") for word in words) for words in COMMANDS]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    hostile.make_files(folder)
    return folder


@pytest.fixture(scope="module")
def models(files) -> Path:
    hostile.make_models(files)
    return files


@pytest.fixture
def there(files, monkeypatch) -> Path:
    monkeypatch.chdir(files)
    return files


def test_the_table_is_long_and_names_every_verb():
    assert len(set(COMMANDS)) >= 150
    named = {" ".join(words[:2]) for words in COMMANDS} | {words[0] for words in COMMANDS if words}
    assert {" ".join(verb) for verb in every_verb()} <= named


@pytest.mark.parametrize(
    "arguments", COMMANDS, ids=lambda words: " ".join(words).encode("ascii", "replace")[:60].decode()
)
def test_a_hostile_command_ends_in_a_sentence(there, arguments):
    before = files_in(there)
    outcome = command(*arguments)
    assert outcome.code in (1, 2), outcome
    kept(outcome, arguments, files_in(there) - before)
    assert "secret" not in outcome.stderr


def every_verb() -> Iterator[tuple[str, ...]]:
    group = typer.main.get_command(verbs.app)
    for name, each in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(each, "commands", None)
        yield from ((name, second) for second in below) if below else [(name,)]


@pytest.mark.parametrize(
    "arguments",
    [
        "tree nope.attattr",
        "figure nope.attattr --out x.svg",
        "heads compare h.parquet nope.parquet",
        "triggers attack t.tsv --model m --patterns nope",
        "triggers report nope.json --out x.html",
        "triggers mine nope --model m --out new",
        "evaluate nope.tsv --model m",
        "evaluate t.tsv --model ./nope",
        "evaluate t.tsv --model no-such-model",
        "evaluate t.tsv --model none",
        "prune model --model m --heads nope.parquet --out new",
    ],
)
def test_what_is_not_there_is_wrong_usage(there, arguments):
    assert command(*arguments.split()).code == 2


@pytest.mark.parametrize("arguments", ["tree cut.attattr", "heads compare h.parquet cut.parquet"])
def test_what_is_damaged_is_not(there, arguments):
    assert command(*arguments.split()).code == 1


def test_a_seed_is_a_whole_number_from_0(there):
    for words in COMMANDS:
        if words[-2:] == ("--seed", "-1") and ("--limit" in words or words[0] not in ("evaluate", "run")):
            assert "the seed must be a whole number from 0, not -1" in command(*words).stderr


# -- options that have no effect ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("evaluate t.tsv --model m --seed 0", "--seed draws rows"),
        ("run t.tsv --model m --out new --seed 0", "--seed draws rows"),
        ("run t.tsv --model m --out new --workers 2", "--workers goes with --engine ray"),
        ("run t.tsv --model m --out new --ray-address x", "--ray-address goes with --engine ray"),
        (
            "heads rank t.tsv --model m --criterion random --reduce max",
            "--reduce goes with --criterion attattr",
        ),
        (
            "heads rank t.tsv --model m --criterion taylor --target gold",
            "--target goes with --criterion attattr",
        ),
        ("figure r.attattr --out x.svg --kind heads --threshold 0.4", "--threshold goes with --kind tree"),
        ("tree r.attattr --dtype float32", "--dtype is of a model"),
        ("figure r.attattr --out x.svg --device cpu", "--device is of a model"),
        ("triggers report other.json --out x.html --labels a", "--labels goes with --model"),
        ("prune model --model m --heads h.parquet --out new --seed 0", "--seed goes with --data"),
        (
            "evaluate t.tsv --model sst2 --trust-remote-code",
            "--trust-remote-code has no effect on an embedded",
        ),
        ("serve --revision main", "--revision is for the models of --model"),
        ("evaluate t.tsv --model m --split train", "has no split 'train'"),
    ],
)
def test_an_option_without_an_effect_is_refused_even_with_its_default(there, arguments, option):
    outcome = command(*arguments.split())
    assert outcome.code == 2
    assert outcome.stderr.startswith("Error: ") and option in outcome.stderr


def test_options_of_a_run_folder_and_of_words(models, monkeypatch):
    monkeypatch.chdir(models)
    mine = "triggers mine run --model m --out -"
    assert "--seed draws rows" in command(*mine.split(), "--seed", "0").stderr
    assert "--text-columns has no effect on a run" in command(*mine.split(), "--text-columns", "text").stderr
    assert "has no split" in command("evaluate", "run", "--model", "m", "--split", "x").stderr
    handmade.attribution().save("words.attattr")
    without = replace(
        handmade.attribution(), axes={"input": replace(handmade.axis("a fine film"), words=(None,) * 5)}
    )
    without.save("pieces.attattr")
    assert command("tree", "words.attattr", "--words").code == 0
    for verb in ("tree pieces.attattr --words", "figure pieces.attattr --out x.svg --words"):
        assert "leave --words out" in command(*verb.split()).stderr


# -- passwords ------------------------------------------------------------------------------------------


class Guarded(http.server.BaseHTTPRequestHandler):
    """A table for who knows the password."""

    def do_GET(self) -> None:
        right = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"me:se cret").decode()
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(hostile.DATA["t.tsv"] if right else b"")

    def log_message(self, *_) -> None: ...


def test_a_password_in_an_address_opens_it_and_is_never_written_down(models, tmp_path, monkeypatch):
    monkeypatch.chdir(models)
    server = http.server.HTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"127.0.0.1:{server.server_port}/t.tsv"
    secret, facts, out = f"http://me:se%20cret@{at}?key=secret", tmp_path / "x.json", tmp_path / "run"
    evaluated = command("evaluate", secret, "--model", "m", "--json", str(facts))
    made = command("run", secret, "--model", "m", "--out", str(out), "--store", "heads")
    refused = command("evaluate", f"http://me:secret@{at}", "--model", "m")
    server.shutdown()
    server.server_close()
    assert (evaluated.code, made.code, refused.code) == (0, 0, 2)
    assert json.loads(facts.read_text())["data"] == f"http://{at}"
    assert json.loads((out / "manifest.json").read_text())["data"]["name"] == f"http://{at}"
    assert "cret" not in facts.read_text() + (out / "manifest.json").read_text() + str(
        (evaluated, made, refused)
    )


# -- models that cannot be used -------------------------------------------------------------------------

BROKEN = """
weightless cut strange nothing list wide text many narrow nojson adapter-strange
adapter-baseless adapter-empty
"""
MODELS = dict.fromkeys(BROKEN.split(), "") | {
    "none": "neither a config.json nor",
    "choice": "is a BertForMultipleChoice, which has no output to explain: attattr takes models with",
    "unnamed": "no architecture",
    "adapter-list": "no JSON object",
    "adapter-nothing": "does not say its base",
    "adapter-number": "does not say its base",
    "prompt_tuning": "PROMPT_TUNING puts positions",
    "prefix_tuning": "PREFIX_TUNING puts positions",
    "p_tuning": "P_TUNING puts positions",
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "verb", ["explain film --model", "check", pytest.param("evaluate t.tsv --model", marks=pytest.mark.slow)]
)
def test_a_model_that_cannot_be_used_is_told_in_a_sentence(models, monkeypatch, verb, name):
    monkeypatch.chdir(models)
    outcome = command(*verb.split(), f"./{name}")
    assert outcome.code in (1, 2)
    kept(outcome, (verb, name), set())
    assert MODELS[name] in outcome.stderr


@pytest.mark.parametrize(
    ("name", "texts", "target", "said"),
    [
        ("tokens", ["the film"], "film:LABEL_1", "label of token 2, film"),
        ("tokens", ["the film"], "2:LABEL_1", "label of token 2, film"),
        ("qa", ["the film", "is fine"], "predicted", "the predicted answer: "),
        ("qa", ["the film", "is fine"], "start", "where the answer starts: "),
        ("qa", ["the film", "is fine"], "fine", "answer"),
        ("qa", ["the film", "is fine"], "4..5", "answer"),
        ("mlm", ["the [MASK] is [MASK]"], "2:film", "word of token 2, [MASK]"),
        ("bare", ["the film", "is fine"], "predicted", "the cosine similarity of the two texts"),
        ("number", ["the film"], "predicted", "the predicted number: LABEL_0"),
    ],
)
def test_every_head_is_explained(models, monkeypatch, tmp_path, name, texts, target, said):
    monkeypatch.chdir(models)
    outcome = command(
        "explain", *texts, "--model", name, "--target", target, "--n-steps", "2",
        "--html", str(tmp_path / "x.html"), "--json", str(tmp_path / "x.json"),
        "--save", str(tmp_path / "x.attattr"),
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert said in " ".join(outcome.stdout.split())
    facts = json.loads((tmp_path / "x.json").read_text())
    assert facts["target"]["value"] == pytest.approx(load(tmp_path / "x.attattr").target.value)
    assert facts["target"]["label"] in (tmp_path / "x.html").read_text()
    for verb in ("tree", "figure"):
        out = [] if verb == "tree" else ["--out", str(tmp_path / "x.svg")]
        assert command(verb, str(tmp_path / "x.attattr"), *out).code == 0
    run = command(
        "run", "t.tsv", "--model", name, "--out", str(tmp_path / "run"), "--n-steps", "2", "--limit", "2"
    )
    assert run.code in (0, 2)
    kept(run, (name,), set())


@pytest.mark.parametrize("name", ["tokens", "qa", "mlm", "bare"])
@pytest.mark.parametrize(
    "verb", ["evaluate t.tsv", "heads rank t.tsv --out h.x", "triggers mine t.tsv --out p.x"]
)
def test_a_verb_of_classes_refuses_other_heads_in_a_sentence(models, monkeypatch, verb, name):
    monkeypatch.chdir(models)
    outcome = command(*verb.split(), "--model", name)
    assert outcome.code == 2 and ("only classifiers" in outcome.stderr or "are of classes" in outcome.stderr)
    kept(outcome, (verb, name), set())


# -- options and values put together by chance ----------------------------------------------------------

BAD = """
- -1 0 1 2 1.5 -0.5 nan inf -inf 1e400 9999999999999999999999999999999999999999 x a,b a,b,c , ../.. / . ~
~nobody * %s {} [red] nope none folder folder.tsv pipe gone m lm mute run hurt unmade cut bare mlm sst2
predicted gold good logit attention random uniform dense heads edges t.tsv one.tsv same.tsv strangers.tsv
nul.tsv huge.tsv ragged.csv x.jsonl bad.parquet x.pdf r.attattr cut.attattr heads.attattr h.parquet
two.parquet cut.parquet p.jsonl second.jsonl bad.patterns list.json other.json new.svg new.png new.json
new /dev/null /dev/full /proc/self/mem s3://bucket/x http://127.0.0.1:1/x.tsv http://[ main cpu cuda meta
float64 bfloat16 float16 int8 ray sliced masked premise hypothesis both auto taylor,taylor
""".split()
BAD += ["", " ", "a\0b", "film \ud800", "é" * 300, "x" * 70_000, "\u202e", "\x1b[31m"]
RIGHT = {
    "explain": "film --model m",
    "run": "t.tsv --model m --out new-run",
    "evaluate": "t.tsv --model m",
    "check": "m",
    "models": "",
    "tree": "r.attattr",
    "faithfulness": "t.tsv --model m --limit 1",
    "figure": "r.attattr --out new.svg",
    "heads rank": "t.tsv --model m",
    "heads effectiveness": "t.tsv --model m",
    "heads compare": "h.parquet h.parquet",
    "prune model": "--model m --heads h.parquet --out new-model",
    "prune curve": "t.tsv --model m --rank-limit 2",
    "triggers mine": "t.tsv --model m --out new.jsonl",
    "triggers attack": "t.tsv --model m --patterns p.jsonl --no-controls",
    "triggers report": "other.json --out new.html",
}


def options_of(verb: str) -> tuple[list[str], list[str]]:
    """Those that take a value, and the flags."""
    found = typer.main.get_command(verbs.app)
    for name in verb.split():
        found = found.commands[name]  # type: ignore[attr-defined]
    named = [p for p in found.params if p.opts[0].startswith("-") and p.name != "help"]
    return ([p.opts[0] for p in named if not getattr(p, "is_flag", False)],
            [p.opts[0] for p in named if getattr(p, "is_flag", False)])  # fmt: skip


def by_chance(draw: random.Random) -> tuple[str, ...]:
    """A command that was right before one to three things in it were changed."""
    verb = draw.choice(sorted(RIGHT))
    words = [*verb.split(), *RIGHT[verb].split()]
    values, flags = options_of(verb)
    for _ in range(draw.choice((1, 1, 2, 3))):
        kind = draw.random()
        if kind < 0.65:
            words += [draw.choice(values), draw.choice(BAD)]
        elif kind < 0.75 and flags:
            words.append(draw.choice(flags))
        elif kind < 0.9 and len(words) > 2:
            words[draw.randrange(len(verb.split()), len(words))] = draw.choice(BAD)
        elif kind < 0.95:
            words.append(draw.choice(BAD))
        elif len(words) > 2:
            del words[draw.randrange(1, len(words))]
    return tuple(words)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_sixty_commands_by_chance(models, tmp_path, monkeypatch, seed):
    monkeypatch.chdir(models)
    monkeypatch.setenv("HOME", str(tmp_path))
    draw = random.Random(seed)
    for _ in range(60):
        arguments = by_chance(draw)
        before = files_in(models)
        kept(command(*arguments), arguments, new := files_in(models) - before)
        for name in sorted(new, reverse=True):
            path = models / name
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


# -- no room, and Ctrl-C --------------------------------------------------------------------------------


def child(program: str, **options) -> subprocess.Popen[bytes]:
    """A command of its own process: `main` as the script calls it."""
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def main_of(*arguments: str, before: str = "") -> str:
    return (
        f"import sys\nsys.argv = ['attattr', *{arguments!r}]\n{before}\nfrom attattr.cli import main\nmain()"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "--json", "new.json"),
        ("tree", "r.attattr", "--json", "new.json"),
        ("tree", "r.attattr", "--figure", "new.svg"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_told_in_a_sentence(there, arguments):
    before = files_in(there)
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    with child(main_of(*arguments, before=limit), cwd=there) as process:
        stderr = process.communicate(timeout=120)[1].decode()
    assert (process.returncode, stderr.count("\n")) == (1, 1), stderr
    assert stderr.startswith("Error: cannot write 'new.") and "File too large" in stderr
    assert files_in(there) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    "arguments", [("models", "--json", "-"), ("models",), ("tree", "r.attattr")], ids=" ".join
)
def test_standard_output_that_takes_nothing(there, arguments):
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-c", main_of(*arguments)], stdout=full, stderr=subprocess.PIPE, cwd=there
        )
        stderr = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 1
    assert stderr == "Error: cannot write: No space left on device; make room, then try again\n"


def interrupted_after(seconds: float, *arguments: str) -> tuple[int, str]:
    # from our first line on: how long Python takes to find it depends on the machine
    program = main_of(*arguments, before="import attattr.cli\nprint('begun', flush=True)")
    with child(program) as process:
        assert process.stdout.readline() == b"begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        return process.wait(60), process.stderr.read().decode()


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_ctrl_c_while_modules_are_imported(seconds):
    assert interrupted_after(seconds, "explain", "a film", "--model", "sst2") == (130, "Error: interrupted\n")


@pytest.mark.slow
def test_ctrl_c_at_any_moment():
    ended = {interrupted_after(at / 100, "explain", "a film", "--model", "sst2") for at in range(2, 41)}
    assert ended == {(130, "Error: interrupted\n")}
