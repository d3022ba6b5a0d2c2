"""What an attack is compared with: random words, frequent words, and words that give the label away."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from attattr.data.examples import Example
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, word_of, words_of

DRAWS = 5  # random patterns
TRIES = 20  # draws for one twin
SURE = 0.9999  # of a word being commoner in a class: thousands of words are looked at
NEAREST = 20  # words of nearest frequency, to draw from
LEAK = 0.1  # a word gives a label away that is so much likelier with it, beyond chance


class Control(NamedTuple):
    """A pattern to compare with; `about`: the class it is made for."""

    kind: str  # random | frequent | universal
    about: str | None
    pattern: Pattern


def word_controls(pattern: Pattern, examples: Sequence[Example], seed: int = 0) -> list[Control]:
    """Other words at a pattern's places: random ones as frequent as its own, and frequent ones of each class.

    >>> rows = [Example("fine", label="good"), Example("dull", label="bad")]
    >>> from attattr.triggers.pattern import PatternToken
    >>> found = word_controls(Pattern((PatternToken(0, 0.5, "fine"),)), rows)
    >>> found[0].pattern.tokens[0].token, [control.about for control in found if control.about]
    ('dull', ['bad', 'good'])

    Words are letters only and counted in the examples, once an input, in the text the token is for. The
    frequent ones of a class are those that are surely commoner in it than elsewhere, if there are any.
    """
    found = random_controls(pattern, examples, seed)
    for label in sorted({str(example.label) for example in examples}):
        words: list[str] = []
        for token in pattern.tokens:
            words += _typical(examples, label, token.segment, words)[:1]
        if len(words) == len(pattern.tokens):
            found.append(Control("frequent", label, _with_words(pattern, words)))
    return found


def random_controls(pattern: Pattern, examples: Sequence[Example], seed: int = 0) -> list[Control]:
    """At most 5 patterns of random words at a pattern's places, each of the 20 of nearest frequency.

    >>> from attattr.triggers.pattern import PatternToken
    >>> rows = [Example("a fine film"), Example("a dull film")]
    >>> drawn = random_controls(Pattern((PatternToken(0, 0.5, "fine"),)), rows)
    >>> sorted({control.pattern.tokens[0].token for control in drawn})
    ['a', 'dull', 'film']
    """
    draw = random.Random(seed)
    every = _counted(examples)
    drawn = [_random(pattern, every, draw) for _ in range(DRAWS)]
    return [Control("random", None, made) for made in {each.key: each for each in drawn if each}.values()]


def twins(
    patterns: Sequence[Pattern],
    examples: Sequence[Example],
    seed: int = 0,
    usable: Callable[[Pattern], bool] = lambda pattern: True,
) -> list[Pattern]:
    """For each pattern one of random words at its places, as in `random_controls`; none where there is none.

    Like mined patterns no two are the same. One that is there already, or is not `usable` (a word that the
    vocabulary does not have), is drawn again, 20 times at most.

    >>> from attattr.triggers.pattern import PatternToken
    >>> rows = [Example("a fine film"), Example("a dull film")]
    >>> (drawn,) = twins([Pattern((PatternToken(0, 0.5, "fine"),))], rows)
    >>> drawn.tokens[0].position, drawn.tokens[0].token in {"a", "dull", "film"}
    (0.5, True)
    """
    every = _counted(examples)
    found: dict[Any, Pattern] = {}
    for i, pattern in enumerate(patterns):
        draw = random.Random(seed + i)
        drawn = (_random(pattern, every, draw) for _ in range(TRIES))
        new = (made for made in drawn if made and made.key not in found and usable(made))
        if made := next(new, None):
            found[made.key] = made
    return list(found.values())


def _random(pattern: Pattern, every: Sequence[Mapping[str, int]], draw: random.Random) -> Pattern | None:
    own = {word_of(token.token) for token in pattern.tokens}
    words: list[str] = []
    for token in pattern.tokens:
        counts = every[token.segment] or every[0]
        aim = math.log(1 + counts.get(word_of(token.token) or "", 0))
        near = sorted(  # in a random order where the frequency is the same: most words occur once
            (abs(math.log(1 + counts[word]) - aim), draw.random(), word)
            for word in sorted(counts)
            if word.isalpha() and word not in own and word not in words
        )[:NEAREST]
        words += [draw.choice(near)[2]] if near else []
    return _with_words(pattern, words) if len(words) == len(pattern.tokens) else None


def _typical(examples: Sequence[Example], label: str, segment: int, taken: Sequence[str]) -> list[str]:
    """Words of a class, most frequent first: those that are surely commoner in it, else all of them."""
    every = _counted(examples)
    inside = _counted([example for example in examples if example.label == label])
    segment = segment if every[segment] else 0
    share = sum(example.label == label for example in examples) / len(examples)
    ranked = sorted(inside[segment], key=lambda word: (-inside[segment][word], word))
    ranked = [word for word in ranked if word.isalpha() and word not in taken]
    typical = [w for w in ranked if wilson(inside[segment][w], every[segment][w], SURE)[0] > share]
    return typical or ranked


def leaks(pattern: Pattern) -> list[dict[str, Any]]:
    """For each counted token the label its word speaks for most, in the data it was mined from.

    >>> from attattr.triggers.pattern import PatternToken
    >>> pattern = Pattern(
    ...     (PatternToken(0, 0.5, "dull"),), label_counts=({"bad": 40, "good": 2},),
    ...     label_totals={"bad": 500, "good": 500},
    ... )
    >>> [(leak["label"], round(leak["share"], 2), leak["flagged"]) for leak in leaks(pattern)]
    [('bad', 0.95, True)]

    share: of the inputs with that word, how many have the label; interval: 95 %, Wilson; base: of all
    inputs; pmi: log₂ share / base. flagged: the share is above base + 0.1 and the interval above base,
    that is, the word gives the label away in the data itself, and that a model follows it is no surprise.
    """
    found = []
    total = sum(pattern.label_totals.values())
    for token, counts in zip(pattern.tokens, pattern.label_counts, strict=False):
        if not counts or not total:
            continue
        n = sum(counts.values())
        base = {label: pattern.label_totals.get(label, 0) / total for label in counts}
        label = max(sorted(counts), key=lambda label: counts[label] / n - base[label])
        share, interval = counts[label] / n, wilson(counts[label], n)
        found.append(
            {
                "token": token.token,
                "segment": token.segment,
                "label": label,
                "share": share,
                "interval": interval,
                "base": base[label],
                "n": n,
                "pmi": math.log2(share / base[label]) if share and base[label] else None,
                "flagged": interval[0] > base[label] and share > base[label] + LEAK,
            }
        )
    return found


def _counted(examples: Sequence[Example]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """In how many first and second texts each word occurs."""
    counts: tuple[Counter, Counter] = (Counter(), Counter())
    for example in examples:
        for segment, text in enumerate((example.text, example.text_pair)):
            counts[segment].update(set(words_of(text or "")))
    return counts


def _with_words(pattern: Pattern, words: Sequence[str]) -> Pattern:
    tokens = (replace(token, token=word) for token, word in zip(pattern.tokens, words, strict=True))
    return Pattern(tuple(tokens))
