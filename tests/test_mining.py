"""The comparison of ways to mine: what its document says follows from the numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from mining import telling
from mining.telling import RANDOM


def cost(agree=0.1, commit="abc1234", **lost):
    """Of each class, the share of 50 rows that is lost."""
    return {
        "patterns": 9, "commit": commit,
        "classes": {
            label: {
                "clean": 0.9, "lost": [1.0] * round(50 * share) + [0.0] * round(50 * (1 - share)),
                "worst": ["no@0.50"], "score_against_damage": agree,
            }
            for label, share in lost.items()
        },
    }  # fmt: skip


@pytest.fixture
def found():
    first = {
        "text": cost(good=0.5, bad=0.3), RANDOM + "text": cost(good=0.2, bad=0.3),
        "paper": cost(good=0.2, bad=0.4), RANDOM + "paper": cost(good=0.2, bad=0.2),
    }  # fmt: skip
    second = {"text": cost(-0.1, good=0.7, bad=0.42), RANDOM + "text": cost(None, good=0.3, bad=0.42)}
    return first, second


def test_what_is_said_follows_from_the_numbers(found):
    first, second = found
    said = telling.document(
        "text", {"sst2": first}, {"sst2": second}, {"sst2": {"rows": 9, "of": {"paper": (5, 8)}}}
    )
    said = " ".join(said.split())
    assert "(code: abc1234)" in said
    assert "The default is `text`**: on the first part its three worst cost 40 points" in said
    assert "those of `paper` 30; row by row +10.0 [" in said
    assert "of 2 classes it costs surely more than 40 points in good of sst2" in said  # 42 is not surely more
    assert "is surely ahead of random patterns in good of sst2" in said
    assert "no lead could show" not in said
    assert "their rank correlation is −0.10" in said
    assert "of 9 rows of sst2 5 of 8 by `paper`" in said
    assert "| text | 9 | 50 [36, 64]; 30 [" in said
    assert "; 0 [0, 0] | 40; +15 |" in said
    assert RANDOM not in said.replace("random patterns", "")


def test_a_class_that_luck_turns_over_is_said_to_be_one(found):
    first, _ = found
    second = {"text": cost(good=0.84), RANDOM + "text": cost(None, good=0.84)}  # of 90 % 6 are left
    said = " ".join(telling.document("text", {"sst2": first}, {"sst2": second}, {}).split())
    assert "is surely ahead of random patterns in none. In good of sst2 random patterns leave fewer" in said


def test_a_file_without_the_marks_is_left_as_it_is(tmp_path):
    import importlib.util

    path = Path(telling.__file__).parents[1] / "mining.py"
    spec = importlib.util.spec_from_file_location("mining_driver", path)
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    out = tmp_path / "other.md"
    out.write_text("words\n")
    with pytest.raises(SystemExit):
        driver.main(["--out", str(out), "--data", "nowhere", "--work", str(tmp_path)])
    assert out.read_text() == "words\n"
