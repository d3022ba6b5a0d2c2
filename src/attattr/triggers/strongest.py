"""The strongest edges of an input, and their ends as tokens of a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attattr.errors import InputError
from attattr.result.values import Edges, Site
from attattr.result.words import grouped, plain
from attattr.triggers.pattern import PatternToken

SECOND = 0.2  # an edge this strong, relative to the strongest of its head, joins the pattern


class Kept(NamedTuple):
    """What is known of one site of one input."""

    head_max: np.ndarray  # (H,) over all edges
    edges: Edges
    complete: bool  # whether these are all of them

    @property
    def missed(self) -> float:
        """No edge that was not kept is stronger, in size."""
        return 0.0 if self.complete or not len(self.edges.score) else abs(float(self.edges.score[-1]))


def strongest(
    sites: Sequence[Kept], segments: Sequence[int | None] | None = None
) -> list[tuple[int, int, float]]:
    """One or two (query, key, score) of the head with the strongest edge of all; none if that is unsure.

    The second is there where it has a fifth of the first. segments: only edges between tokens of a text
    count; None: all do.
    """
    tops = []  # by site: the largest score of each head
    among = []
    for site in sites:
        fine = np.ones(len(site.edges.score), bool)
        if segments is not None:
            inside = np.array([segment is not None for segment in segments])
            fine = inside[site.edges.query] & inside[site.edges.key]
        top = site.head_max
        if segments is not None:
            top = np.full(len(site.head_max), -np.inf)
            np.maximum.at(top, site.edges.head[fine], site.edges.score[fine])
        tops.append(top)
        among.append(fine)
    best = int(np.argmax([top.max(initial=-np.inf) for top in tops]))
    head = int(tops[best].argmax())
    highest, edges = float(tops[best][head]), sites[best].edges
    if not highest > 0 or (segments is not None and any(site.missed > highest for site in sites)):
        return []
    own = np.flatnonzero((edges.head == head) & among[best])
    own = own[np.argsort(-edges.score[own], kind="stable")][:2]
    found = [(int(edges.query[i]), int(edges.key[i]), float(edges.score[i])) for i in own]
    found = [edge for edge in found if edge[2] >= SECOND * highest]
    if not found or found[0][2] < highest * (1 - 1e-5):
        return []
    return [] if len(found) < 2 and sites[best].missed >= SECOND * highest else found


def edges_of(site: Site, n: int) -> tuple[Edges, bool]:
    """Edges of a site over n tokens, and whether these are all."""
    if site.edges is not None:
        return site.edges, len(site.edges.score) == site.n_heads * n**2
    if site.scores is None:
        raise InputError("patterns need edges: attribute with store='edges' or 'dense', not 'heads'")
    order = np.argsort(-np.abs(site.scores), axis=None, kind="stable")
    head, query, key = np.unravel_index(order, site.scores.shape)
    score = site.scores.ravel()[order]
    return Edges(head, query, key, score, score), True


def placed(
    edges: Sequence[tuple[int, int, float]],
    tokens: Sequence[str],
    segments: Sequence[int | None],
    words: Sequence[int | None],
    raw: Sequence[str] | None,
) -> tuple[PatternToken, ...]:
    """The ends of the edges as tokens of a pattern; a word stands where its first piece does."""
    found = set()
    for i in {end for query, key, _ in edges for end in (query, key)}:
        segment, word = segments[i], words[i]
        if segment is None:
            continue
        if raw is not None or word is None:
            first, text = i, (raw or tokens)[i]
        else:
            own = next(group for group in grouped(words) if i in group)
            first, text = own[0], "".join(plain(tokens[j]) for j in own)
        inside = [j for j, other in enumerate(segments) if other == segment]
        text = text if raw is not None else text.strip()
        if text:
            found.add(PatternToken(segment, (inside.index(first) + 1) / len(inside), text))
    return tuple(sorted(found))
