"""The families: what each computes, by which edges, and which methods cannot find them.

In all of them every layer also has heads that do nothing, as heavy as those that do (`inert`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from truth.model import Head, Plan

SURE = 30.0  # a head's certainty: e^-15 of what it looks at is elsewhere
FILL = ("F0", "F1", "F2")
METHODS = {
    "attention": "attention", "norm": "attention × ‖value‖", "gradient": "gradient × attention",
    "zero": "AttAttr, zero", "uniform": "AttAttr, uniform", "other": "AttAttr, counterfactual",
    "removal": "exact removal", "random": "random",
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """An input with its answer, the edges (layer, head, query, key) that make it, and its counterfactual."""

    tokens: tuple[str, ...]
    label: int
    edges: tuple[tuple[int, str, int, int], ...]
    other: tuple[str, ...]
    explained: bool = True  # whether the benchmark takes it
    second: int | None = None  # where the second text begins


@dataclass(frozen=True)
class Family:
    """true: what the true edges are. fails: methods that must fail without LayerNorm, and why. scale: of the
    logits."""

    name: str
    does: str
    true: str
    tokens: tuple[str, ...]
    layers: tuple[tuple[Head, ...], ...]
    draw: Callable[[Random, int], Drawn]
    fails: dict[str, str] = field(default_factory=dict)
    scratch: tuple[str, ...] = ("s1", "s2")
    units: tuple = ()
    reads: dict[str, float] = field(default_factory=lambda: {"out": 1.0})
    scale: tuple[float, float] = (2.0, 6.0)  # without and with LayerNorm

    def plan(self, norm: bool) -> Plan:
        """What is compiled: the family's heads, the inert ones, and empty ones to make up the number."""
        most = max(map(len, self.layers))
        layers = []
        for number, heads in enumerate(self.layers):
            last = number == len(self.layers) - 1
            idle = [Head(f"idle {i}") for i in range(most - len(heads) + (not last))]
            layers.append((*heads, *inert(self, heads, last), *idle))
        return Plan(
            tokens=self.tokens, scratch=(*self.scratch, "out", "unread", "both"), layers=tuple(layers),
            reads={name: weight * self.scale[norm] for name, weight in self.reads.items()},
            units=self.units, lifts=("both",), norm=norm,
        )  # fmt: skip

    def places(self, drawn: Drawn) -> list[tuple[int, int, int, int]]:
        """The true edges by numbers: site, head, query, key."""
        names = [[head.name for head in layer] for layer in self.layers]
        return [(site, names[site].index(head), query, key) for site, head, query, key in drawn.edges]

    def ids(self, tokens: Sequence[str], second: int | None = None) -> dict[str, list[int]]:
        """As the model takes them."""
        found = {"input_ids": [self.tokens.index(token) for token in tokens]}
        if second is not None:
            found["token_type_ids"] = [int(place >= second) for place in range(len(tokens))]
        return found


def first(tokens: Sequence[str]) -> list[str]:
    """Those that stand at the first place."""
    return [token for token in tokens if token == "CLS" or token.startswith("Q")]


def inert(family: Family, heads: Sequence[Head], last: bool) -> list[Head]:
    """Heads that make no difference: a sink, values of zero, a direction that nobody reads and, in the last
    layer, equal values from everywhere that lift both logits alike."""
    begin, rest = first(family.tokens), [t for t in family.tokens if t not in first(family.tokens)]
    made = [
        Head("sink", {(q, k): SURE for q in family.tokens for k in begin}, {(t, "out"): 1.0 for t in rest}),
        replace(heads[0], name="empty", write={}),
        Head("unread", write={(t, "unread"): 1.0 for t in family.tokens}, shift=1),
    ]
    if last:
        made.append(Head("flat", write={(t, "both"): 1.0 for t in family.tokens}))
    return made


def finds(
    name: str, wanted: Sequence[str], write: dict, tokens: Sequence[str], asks: Sequence[str] = ("CLS",)
) -> Head:
    """Looks from the tokens `asks` at a wanted one, else at the first token."""
    look = {(q, k): SURE / 2 for q in tokens for k in first(tokens)}
    return Head(name, look | {(q, k): SURE for q in asks for k in wanted}, write)


def filled(rng: Random, count: int, among: Sequence[str] = FILL) -> list[str]:
    return [rng.choice(among) for _ in range(count)]


def instead(tokens: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    """Fillers in these places."""
    return tuple("F0" if i in places else token for i, token in enumerate(tokens))


AB = {("A", "out"): 1.0, ("B", "out"): -1.0}
POSITION = "looks by position, so alike in both inputs"
HEAVY = "the inert heads look as surely"
WRITES = "the unread heads write as much"
CLIPPED = "past the clip there is no slope"


def _previous(rng: Random, n: int) -> Drawn:
    tokens = ["CLS", *filled(rng, n - 1, (*FILL, "A", "B"))]
    p, label = rng.randrange(2, n), rng.randrange(2)
    tokens[p - 1 : p + 1] = ["BA"[label], "M"]
    return Drawn(tuple(tokens), label, ((0, "previous", p, p - 1), (1, "find", 0, p)), instead(tokens, [p]))


def _induction(rng: Random, n: int) -> Drawn:
    starts = rng.sample(range((n - 1) // 2), min(3, (n - 1) // 2))
    letters = rng.sample(range(4), len(starts))
    tokens = [f"Q{letters[0]}", *filled(rng, n - 1, (*FILL, "A", "B"))]
    for start, letter in zip(starts, letters, strict=True):
        tokens[1 + 2 * start : 3 + 2 * start] = [f"T{letter}", rng.choice("AB")]
    r = 1 + 2 * starts[0]
    edges = ((0, "previous", r + 1, r), (1, "match", 0, r + 1))
    return Drawn(tuple(tokens), int(tokens[r + 1] == "A"), edges, instead(tokens, [r]))


def _bracket(rng: Random, n: int) -> Drawn:
    kinds, colours = rng.sample(range(3), 3), [rng.choice("AB") for _ in range(3)]
    body: list[tuple[int, bool]] = []  # kind, whether it opens
    waiting, open_ = list(kinds), []
    while waiting or open_:
        if waiting and (not open_ or rng.random() < 0.6):
            open_.append(waiting.pop())
            body.append((open_[-1], True))
        else:
            body.append((open_.pop(), False))
    marked = rng.randrange(3)
    places = sorted(rng.sample(range(1, n), len(body)))
    tokens = ["CLS", *filled(rng, n - 1)]
    for place, (kind, opens) in zip(places, body, strict=True):
        closing = f"X{kind}" if kind == marked else f"C{kind}"
        tokens[place] = f"O{kind}{colours[kind]}" if opens else closing
    x, o = tokens.index(f"X{marked}"), tokens.index(f"O{marked}{colours[marked]}")
    edges = ((0, "match", x, o), (1, "find", 0, x))
    return Drawn(tuple(tokens), int(colours[marked] == "A"), edges, instead(tokens, [x, o]))


def _majority(rng: Random, n: int) -> Drawn:
    votes = 2 * ((2 * (n - 1) // 3) // 2) + 1
    less = rng.randrange(0, votes // 4 + 1)
    label = rng.randrange(2)
    places = rng.sample(range(1, n), votes)
    tokens = ["CLS", *filled(rng, n - 1)]
    for number, place in enumerate(places):
        tokens[place] = "BA"[label if number >= less else 1 - label]
    edges = tuple((0, "count", 0, place) for place in sorted(places))
    return Drawn(tuple(tokens), label, edges, instead(tokens, places[less:]))


def _both(rng: Random, n: int) -> Drawn:
    second = 2 + (n - 2) // 2
    halves = (range(1, second - 1), range(second, n))
    tokens = ["CLS", *filled(rng, n - 1)]
    tokens[second - 1] = "SEP"
    there = [rng.random() < 0.8, rng.random() < 0.8]
    found = [rng.sample(half, 2) for half in halves]  # where each text may have A, and B
    if there[0]:
        tokens[found[0][0]] = "A"
    if there[1]:
        tokens[found[1][1]] = "B"
    for where, decoy in ((found[0][1], "B"), (found[1][0], "A")):  # the right token in the wrong text
        if rng.random() < 0.6:
            tokens[where] = decoy
    a, b = found[0][0], found[1][1]
    edges = ((0, "a in the first", 0, a), (0, "b in the second", 0, b))
    return Drawn(tuple(tokens), int(all(there)), edges, instead(tokens, [a, b]), all(there), second)


def _placed(rng: Random, n: int, wanted: Sequence[str]) -> tuple[list[str], list[int]]:
    """Fillers, and each of these tokens somewhere in them."""
    tokens, places = ["CLS", *filled(rng, n - 1)], rng.sample(range(1, n), len(wanted))
    for token, place in zip(wanted, places, strict=True):
        tokens[place] = token
    return tokens, places


def _either(layers: tuple[int, int]) -> Callable[[Random, int], Drawn]:
    def draw(rng: Random, n: int) -> Drawn:
        wanted = rng.choice((("C", "D"), ("C", "D"), ("C",), ("D",), ()))
        tokens, places = _placed(rng, n, wanted)
        layer = dict(zip("CD", layers, strict=True))
        edges = tuple((layer[w], f"find {w}", 0, p) for w, p in zip(wanted, places, strict=True))
        return Drawn(tuple(tokens), int(bool(wanted)), edges, instead(tokens, places), len(wanted) == 2)

    return draw


def _saturated(rng: Random, n: int) -> Drawn:
    wanted = rng.choice((("C",), ("C",), ()))
    tokens, places = _placed(rng, n, wanted)
    edges = tuple((0, "find C", 0, place) for place in places)
    return Drawn(tuple(tokens), len(wanted), edges, instead(tokens, places), bool(wanted))


def _cancelled(rng: Random, n: int) -> Drawn:
    label = rng.randrange(2)
    tokens, places = _placed(rng, n, ("C", "D", "BA"[label]))
    edges = tuple((0, name, 0, p) for name, p in zip(("find C", "find D", "decide"), places, strict=True))
    return Drawn(tuple(tokens), label, edges, instead(tokens, places))


def _gated(rng: Random, n: int) -> Drawn:
    gate, value = rng.choice(("G+", "G-")), rng.choice("AB")
    tokens, places = _placed(rng, n, (gate, value))
    edges = ((0, "gate", 0, places[0]), (0, "value", 0, places[1]))
    return Drawn(tuple(tokens), int((gate == "G+") == (value == "A")), edges, instead(tokens, places))


COUNT = ("CLS", *FILL, "A", "B")
FIND = ("CLS", *FILL, "C", "D")
PREVIOUS = (*COUNT, "M")
LETTERS = (*(f"Q{i}" for i in range(4)), *(f"T{i}" for i in range(4)), *FILL, "A", "B")
KINDS = range(3)
BRACKETS = (
    "CLS", *FILL, *(f"O{k}{c}" for k in KINDS for c in "AB"), *(f"{x}{k}" for x in "CX" for k in KINDS)
)  # fmt: skip
GATED = ("CLS", *FILL, "A", "B", "G+", "G-")
TEXTS = ("CLS", "SEP", *FILL, "A", "B")
CLIP = (({"s1": 1.0}, {"out": 4.0}), ({"s1": 1.0, "CLS": -0.5}, {"out": -4.0}))  # 4 min(s1, ½)
STEEP = (({"s1": 1.0}, {"out": 6.0}), ({"s1": 1.0, "CLS": -1 / 3}, {"out": -6.0}))
# sign(gate) × value: (|s1 + s2| − |s1 − s2|) / 2 where the gate is the larger
PRODUCT = tuple(
    ({"s1": sign, "s2": sign * other}, {"out": 0.5 * other}) for sign in (1.0, -1.0) for other in (1.0, -1.0)
)
EVERYWHERE = {"attention": HEAVY, "norm": WRITES, "random": "chance"}


def _segments() -> tuple[Head, Head]:
    def head(name: str, token: str, text: str, to: str) -> Head:
        sink = {(q, "CLS"): 2 * SURE for q in TEXTS if q != "CLS"}
        rest = 1.5 * SURE - (SURE if text == "first text" else 0)  # the first token is of the first text
        look = {("CLS", token): SURE, ("CLS", text): SURE, ("CLS", "CLS"): rest}
        return Head(name, sink | look, {(token, to): 1.0})

    return (
        head("a in the first", "A", "first text", "s1"),
        head("b in the second", "B", "second text", "s2"),
    )


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "previous", "the token before the marker M, A or B",
            "M to the token before it; the first token to M", PREVIOUS,
            (
                (Head("previous", write={("A", "s1"): 1.0, ("B", "s1"): -1.0}, shift=-1),),
                (finds("find", ("M",), {("s1", "out"): 1.0}, PREVIOUS),),
            ),
            _previous, EVERYWHERE | {"other": f"the first layer {POSITION}"},
        ),
        Family(
            "induction", "what followed the letter that is asked for, A or B",
            "what followed to its letter, which decides where the second layer looks; the first token to it",
            LETTERS,
            (
                (Head("previous", write={(f"T{i}", f"prev{i}"): 1.0 for i in range(4)}, shift=-1),),
                (
                    Head(
                        "match",
                        {(q, k): SURE / 2 for q in LETTERS for k in first(LETTERS)}
                        | {(f"Q{i}", f"prev{i}"): SURE for i in range(4)},
                        AB,
                    ),
                ),
            ),
            _induction,
            EVERYWHERE | {"other": f"the first layer {POSITION}"},
            scratch=tuple(f"prev{i}" for i in range(4)),
        ),
        Family(
            "bracket", "the colour of the bracket that the marked one closes, of three nested kinds",
            "the marked bracket to the one it closes; the first token to the marked one", BRACKETS,
            (
                (
                    Head(
                        "match",
                        {(q, "CLS"): SURE / 2 for q in BRACKETS}
                        | {(f"{x}{k}", f"O{k}{c}"): SURE for x in "CX" for k in KINDS for c in "AB"},
                        {(f"O{k}{c}", "s1"): 1.0 if c == "A" else -1.0 for k in KINDS for c in "AB"},
                    ),
                ),
                (finds("find", [f"X{k}" for k in KINDS], {("s1", "out"): 1.0}, BRACKETS),),
            ),
            _bracket, EVERYWHERE,
        ),
        Family(
            "majority", "whether there are more A than B", "the first token to every A and B", COUNT,
            ((Head("count", {(q, "CLS"): SURE for q in COUNT if q != "CLS"}, AB),),),
            _majority,
            EVERYWHERE | {
                "uniform": "the head looks everywhere alike, as the baseline does",
                "other": "the head looks everywhere alike in every input",
            },
            scale=(6.0, 12.0),
        ),
        Family(
            "and", "whether A is in the first text and B in the second",
            "the first token to that A, and to that B", TEXTS, (_segments(),), _both, EVERYWHERE,
            units=(({"s1": 1.0, "s2": 1.0, "CLS": -1.5}, {"out": 4.0}),), reads={"out": 1.0, "CLS": -1.0},
            scale=(2.0, 16.0),
        ),
        Family(
            "or", "whether C or D is there; either is enough, both are",
            "the first token to C, and to D", FIND,
            (
                (
                    finds("find C", ("C",), {("C", "s1"): 0.75}, FIND),
                    finds("find D", ("D",), {("D", "s1"): 0.75}, FIND),
                ),
            ),
            _either((0, 0)),
            EVERYWHERE | {"gradient": CLIPPED, "removal": "without one the other is enough"},
            units=CLIP, reads={"out": 1.0, "CLS": -1.0}, scale=(2.0, 16.0),
        ),
        Family(
            "or over layers", "as “or”, C found by the first layer and D by the second",
            "the first token to C, and to D", FIND,
            (
                (finds("find C", ("C",), {("C", "s1"): 0.75}, FIND),),
                (finds("find D", ("D",), {("D", "s1"): 0.75}, FIND),),
            ),
            _either((0, 1)),
            EVERYWHERE | {"gradient": CLIPPED, "removal": "without one the other is enough"}
            | dict.fromkeys(
                ("zero", "uniform", "other"), "one layer's path leaves the other whole, which is enough"
            ),
            units=CLIP, reads={"out": 1.0, "CLS": -1.0}, scale=(2.0, 26.0),
        ),
        Family(
            "saturated", "whether C is there, three times as strong as is enough, p = 0.9999",
            "the first token to C", FIND, ((finds("find C", ("C",), {("C", "s1"): 1.0}, FIND),),),
            _saturated, EVERYWHERE | {"gradient": CLIPPED},
            units=STEEP, reads={"out": 1.0, "CLS": -1.0}, scale=(4.61, 18.0),
        ),
        Family(
            "cancellation", "A or B, beside two heads that write against each other",
            "the first token to A or B; and to C and to D, each of which decides where the other is gone",
            ("CLS", *FILL, "A", "B", "C", "D"),
            (
                (
                    finds("find C", ("C",), {("C", "out"): 2.0}, (*FIND, "A", "B")),
                    finds("find D", ("D",), {("D", "out"): -2.0}, (*FIND, "A", "B")),
                    finds("decide", ("A", "B"), AB, (*FIND, "A", "B")),
                ),
            ),
            _cancelled, EVERYWHERE,
        ),
        Family(
            "gate", "A or B, turned round by G-, not by G+",
            "the first token to the gate, and to A or B", GATED,
            (
                (
                    finds("gate", ("G+", "G-"), {("G+", "s1"): 2.0, ("G-", "s1"): -2.0}, GATED),
                    finds("value", ("A", "B"), {("A", "s2"): 1.0, ("B", "s2"): -1.0}, GATED),
                ),
            ),
            _gated,
            EVERYWHERE | {"gradient": "how strong the gate is makes no difference, only its sign"}
            | dict.fromkeys(
                ("zero", "uniform", "other"), "both grow alike, and on that path only the gate's sign counts"
            ),
            units=PRODUCT, scale=(2.0, 10.0),
        ),
    )
}  # fmt: skip
