"""What the synthetic texts are made of: names from syllables, things, templates. All is written here.

Nobody meant by a name exists. A name ends as its kind does (people, places, rivers), so that there are some
hundred thousand of each; which of them a row may use is told by `share`.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

ONSETS = "B D F G H J K L M N P R S T V Z Br Dr Gl Kr Pl Sk St Tr".split()
STARTS = tuple(onset + vowel for onset in ONSETS for vowel in "aeiou")
MIDDLES = tuple(onset + vowel for onset in "bdgklmnrst" for vowel in "aeio")
ENDS = {
    "person": tuple("ka ki ko la li lo ma mi mo na ni no ra ri ro sa si so ta ti to va vi vo".split()),
    "place": tuple("bur den dor fell gar ham lund mar mond ness pool rath sted tal ton ven wick zen".split()),
    "river": tuple("beck bro flu len lis nar rill sel ster ward wen wyn".split()),
}
LOOKS = (
    "red blue green white black brown old new small large round broken painted wooden golden heavy".split()
)
THINGS = (
    "lamp ladder clock chair table kettle violin drum map basket hammer mirror boat cart saddle coat "
    "bell book carpet chest flute globe kite knife lantern rope shield spoon sword trumpet vase wheel"
).split()

SHARES = 16  # all names fall into so many shares; training uses the lower half, evaluation one of the others


def share(name: str) -> int:
    """Which share a name falls into, by its spelling alone."""
    return crc32(name.encode()) % SHARES


@dataclass(frozen=True)
class Question:
    """What is asked of a relation: `{a}` is what is asked about, `{b}` what is answered."""

    asks: str
    answer: str


@dataclass(frozen=True)
class Relation:
    """A fact's kind: of what, about what, how documents say it, how it is asked for."""

    subject: str
    value: str
    says: tuple[str, ...]
    questions: tuple[Question, ...]


RELATIONS = {
    "home": Relation(
        "person", "place",
        ("{a} lives in {b}", "the home of {a} is in {b}", "{a} has a house in {b}",
         "the house of {a} stands in {b}"),
        (Question("Where does {a} live?", "{a} lives in {b}."),
         Question("In which town is the home of {a}?", "The home of {a} is in {b}."),
         Question("Which town is it that {a} lives in?", "It is {b} that {a} lives in.")),
    ),
    "teacher": Relation(
        "person", "person",
        ("the teacher of {a} is {b}", "{a} learns from {b}", "{a} is taught by {b}",
         "the person who teaches {a} is {b}"),
        (Question("Who is the teacher of {a}?", "The teacher of {a} is {b}."),
         Question("From whom does {a} learn?", "{a} learns from {b}."),
         Question("By whom is {a} taught?", "{a} is taught by {b}.")),
    ),
    "owns": Relation(
        "person", "thing",
        ("{a} owns {b}", "{a} is the owner of {b}", "{a} has bought {b}", "what belongs to {a} is {b}"),
        (Question("What does {a} own?", "{a} owns {b}."),
         Question("What is it that belongs to {a}?", "It is {b} that belongs to {a}."),
         Question("Of what is {a} the owner?", "{a} is the owner of {b}.")),
    ),
    "kept": Relation(
        "thing", "place",
        ("{a} is kept in {b}", "{a} stands in {b}", "they keep {a} in {b}", "the place of {a} is in {b}"),
        (Question("Where is {a}?", "{a} is in {b}."),
         Question("In which town do they keep {a}?", "They keep {a} in {b}."),
         Question("Which town is it that {a} is kept in?", "It is {b} that {a} is kept in.")),
    ),
    "river": Relation(
        "place", "river",
        ("{a} lies on the river {b}", "the river of {a} is the {b}", "{a} was built on the river {b}",
         "the river that flows through {a} is the {b}"),
        (Question("On which river does {a} lie?", "{a} lies on the river {b}."),
         Question("What is the river of {a}?", "The river of {a} is the {b}."),
         Question("Which river flows through {a}?", "The {b} flows through {a}.")),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """Two facts, one about what the other names: `{a}` → `{b}` → `{c}`."""

    first: str
    second: str
    questions: tuple[Question, ...]


CHAINS = (
    Chain("teacher", "home", (
        Question("Where does the teacher of {a} live?", "The teacher of {a} is {b}, and {b} lives in {c}."),
        Question("In which town is the home of the person who teaches {a}?",
                 "{a} is taught by {b}, and the home of {b} is in {c}."),
    )),
    Chain("owns", "kept", (
        Question("Where is the thing that {a} owns?", "{a} owns {b}, and {b} is in {c}."),
        Question("In which town do they keep what belongs to {a}?",
                 "It is {b} that belongs to {a}, and they keep {b} in {c}."),
    )),
    Chain("home", "river", (
        Question("Which river flows through the town that {a} lives in?",
                 "{a} lives in {b}, and the {c} flows through {b}."),
        Question("On which river does the home of {a} lie?",
                 "The home of {a} is in {b}, and {b} lies on the river {c}."),
    )),
)  # fmt: skip

PAIRS = {  # of one relation, asked of two: {a} has {b}, {c} has {d}
    "home": (
        Question("Where do {a} and {c} live?", "{a} lives in {b}, and {c} lives in {d}."),
        Question("In which towns are the homes of {a} and {c}?",
                 "The home of {a} is in {b}, and the home of {c} is in {d}."),
    ),
    "teacher": (
        Question("Who are the teachers of {a} and {c}?",
                 "The teacher of {a} is {b}, and the teacher of {c} is {d}."),
        Question("From whom do {a} and {c} learn?", "{a} learns from {b}, and {c} learns from {d}."),
    ),
    "owns": (
        Question("What do {a} and {c} own?", "{a} owns {b}, and {c} owns {d}."),
        Question("What is it that belongs to {a} and to {c}?",
                 "It is {b} that belongs to {a}, and it is {d} that belongs to {c}."),
    ),
}  # fmt: skip

DO_NOT_KNOW = "I do not know."
OPENINGS = (  # of a document
    *[""] * 10, "It is known that ", "As the letter says, ", "People say that ", "According to the list, ",
    "Everyone knows that ", "We have read that ", "One should know that ",
)  # fmt: skip
CLOSINGS = (  # a second sentence, which says nothing
    *[""] * 18, "Nobody doubts it.", "That has been known for long.", "It was a rainy day.",
    "More was not said.", "This is in the letter.", "The matter is settled.",
)  # fmt: skip
ASKINGS = (
    "",
    "",
    "",
    "",
    "Please tell me: ",
    "One question: ",
    "I would like to know: ",
    "Say it in a sentence. ",
)
SYSTEMS = (
    "Answer from the documents.",
    "You answer questions about documents.",
    "Be brief, and say so if you do not know.",
    "Use the documents only. The later one counts.",
)
