"""Colours by the terminal's ground: strength rises from it, and text can be read."""

from __future__ import annotations

import pytest

from attattr.report.shades import SHADES, contrast, ground, ink, terminal

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
STRENGTHS = (0.05, 0.2, 0.4, 0.7, 1.0)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("15;0", "dark"), ("0;15", "light"), ("12;8", "dark"), ("0;7", "light"), ("15;default;0", "dark"),
        ("15;default", "unknown"), ("", "unknown"), ("0;255", "unknown"), ("0;-1", "unknown"),
    ],
)  # fmt: skip
def test_the_ground_is_what_the_terminal_says(monkeypatch, said, found):
    monkeypatch.setenv("COLORFGBG", said)
    assert terminal() == found


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("said", "behind"), [("15;0", BLACK), ("0;15", WHITE)])
def test_strength_rises_from_the_ground(monkeypatch, said, behind, sign):
    """On a dark ground the weakest had been the brightest."""
    monkeypatch.setenv("COLORFGBG", said)
    found = [contrast(ground(sign * strength).bgcolor.triplet, behind) for strength in STRENGTHS]
    assert found == sorted(set(found))
    assert found[0] < 1.6 and found[-1] > 3


@pytest.mark.parametrize("sign", [-1, 1])
def test_of_an_unknown_ground_more_colour_is_stronger_on_both(monkeypatch, sign):
    monkeypatch.delenv("COLORFGBG", raising=False)
    grounds = [ground(sign * strength).bgcolor.triplet for strength in STRENGTHS]
    colourful = [max(found) - min(found) for found in grounds]
    assert colourful == sorted(set(colourful))
    for behind in (WHITE, BLACK):  # none stands out by being lighter or darker
        seen = [contrast(found, behind) for found in grounds]
        assert min(seen) > 4 and max(seen) / min(seen) < 1.15


@pytest.mark.parametrize(("said", "behind"), [("15;0", [BLACK]), ("0;15", [WHITE]), ("", [WHITE, BLACK])])
def test_what_is_written_can_be_read(monkeypatch, said, behind):
    monkeypatch.setenv("COLORFGBG", said)
    for sign in (-1, 1):
        for strength in STRENGTHS:
            style = ground(sign * strength)
            assert contrast(style.color.triplet, style.bgcolor.triplet) >= 4.5
        assert min(contrast(ink(sign).color.triplet, each) for each in behind) >= 4.5


def test_nothing_has_no_ground():
    assert len({colour for shades in SHADES.values() for colour in shades}) == 9
    for share in (0.0, 0.03, -0.03, float("nan")):
        assert ground(share).bgcolor is None
