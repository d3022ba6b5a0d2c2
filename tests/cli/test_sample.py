"""Which rows a verb takes unless it is told: some, drawn with a seed, and it says so."""

from __future__ import annotations

import pytest

import attattr
import commands
import tiny
from attattr.data.examples import read_examples

ROWS = 320


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A model, data of 320 rows, and the file of a pattern."""
    folder = tmp_path_factory.mktemp("sample")
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(folder / "m")
    tiny.tokenizer().save_pretrained(folder / "m")
    words = "the a film man is was not very good bad".split()
    lines = (
        f"{words[i % 10]} {words[i // 10 % 10]} {words[i // 100]}\t{('bad', 'good')[i % 2]}"
        for i in range(ROWS)
    )
    (folder / "d.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    pattern = attattr.Pattern((attattr.PatternToken(0, 0.5, "film"),))
    (folder / "p.jsonl").write_text(pattern.line())
    return folder


@pytest.fixture
def drawn(there, monkeypatch):
    """drawn(verb, options…) → the rows that reach the library, and what was said."""

    class ReachedError(Exception):
        pass

    def call(verb, module, function, *options):
        reached = []

        def stop(attributor, examples, *rest, **given):
            reached.append((list(examples), given.get("limit")))
            raise ReachedError

        monkeypatch.setattr(f"{module}.{function}", stop)
        outcome = commands.run(*verb, there / "d.tsv", "--model", there / "m", *options)
        return reached[0] if reached else None, outcome

    return call


VERBS = {
    "faithfulness": (["faithfulness"], "attattr.measure.faithfulness", "measure_faithfulness", 100),
    "rank": (["heads", "rank"], "attattr.heads.importance", "rank_heads", 200),
    "effectiveness": (["heads", "effectiveness"], "attattr.heads.effectiveness", "measure_effectiveness", 60),
    "attack": (["triggers", "attack"], "attattr.triggers.attack", "attack_model", 200),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_default_takes_some_rows_and_says_so(drawn, there, name):
    verb, module, function, number = VERBS[name]
    more = ("--patterns", there / "p.jsonl") if name == "attack" else ()
    (rows, _), outcome = drawn(verb, module, function, *more)
    expected, _ = read_examples(there / "d.tsv", limit=number, seed=0)
    assert rows == expected and len(rows) == number
    assert (
        f"{number} of 320 rows, drawn with seed 0; --limit N for another number, --all for all."
        in outcome.stderr
    )
    (rows, _), outcome = drawn(verb, module, function, *more, "--limit", 7, "--seed", 3)
    assert rows == read_examples(there / "d.tsv", limit=7, seed=3)[0]
    assert "drawn with seed" not in outcome.stderr  # who says how many knows it
    (rows, _), outcome = drawn(verb, module, function, *more, "--all")
    assert len(rows) == ROWS and "drawn with seed" not in outcome.stderr


def test_mining_and_curves_do_too(drawn, there):
    mined = (["triggers", "mine"], "attattr.triggers.mine", "mine_triggers", "--out", there / "new.jsonl")
    (rows, limit), outcome = drawn(*mined)
    assert (len(rows), limit) == (ROWS, 200)  # words are counted in all rows
    assert f"200 of {ROWS} rows, drawn with seed 0" in outcome.stderr
    assert drawn(*mined, "--all")[0][1] is None
    assert drawn(*mined, "--limit", 5)[0][1] == 5
    ranked = (["prune", "curve"], "attattr.heads.importance", "rank_heads")
    (rows, _), outcome = drawn(*ranked, "--rank-limit", 20)
    assert len(rows) == 20
    assert "220 of 320 rows, drawn with seed 0" in outcome.stderr


def test_some_and_all_exclude_each_other(drawn):
    reached, outcome = drawn(
        ["heads", "rank"], "attattr.heads.importance", "rank_heads", "--all", "--limit", 5
    )
    assert reached is None and outcome.exit_code == 2
    assert "--limit takes some of the rows, and --all takes all: leave it out" in outcome.stderr


def test_verbs_that_take_all_rows_have_no_such_option(drawn):
    for verb in (["evaluate"], ["run", "--out", "x"]):
        assert drawn(verb, "attattr.measure.accuracy", "evaluate_model", "--all")[1].exit_code == 2
