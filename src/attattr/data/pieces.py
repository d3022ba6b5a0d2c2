"""How the pieces of a vocabulary read as text, and which of them make a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def readable(tokenizer: Any, token: str | None) -> str:
    """A piece as text: " Paris" for byte-level "ĠParis" and for SentencePiece "▁Paris"."""
    token = str(token)
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:-1], 16)]).decode("utf-8", "replace")  # SentencePiece has no piece for it
    if byte_level(tokenizer):
        return tokenizer.convert_tokens_to_string([token])
    return token.replace("▁", " ")


def byte_level(tokenizer: Any) -> bool:
    """Whether its pieces are bytes, and a space a piece of its own ("Ġ")."""
    space = tokenizer.convert_tokens_to_ids("Ġ")
    return space is not None and space != tokenizer.unk_token_id


def consecutive(
    tokens: Sequence[str], segments: Sequence[int | None], words: Sequence[int | None]
) -> tuple[int | None, ...]:
    """Word numbers that run on over both texts."""
    if all(word is None for word in words):
        return tuple(words)
    found: dict[tuple, int] = {}
    numbers: list[int | None] = []
    # SentencePiece without a pre-tokenizer takes a whole text for one word: there, spaces part them
    of_segment: dict[int | None, set] = {}
    for segment, word in zip(segments, words, strict=True):
        of_segment.setdefault(segment, set()).add(word)
    whole = {segment for segment, held in of_segment.items() if len(held) == 1}
    spaces = 0
    for token, segment, word in zip(tokens, segments, words, strict=True):
        spaces += token.startswith(" ")
        if segment is None or word is None:
            numbers.append(None)
        else:
            key = (segment, word, spaces if segment in whole else 0)
            numbers.append(found.setdefault(key, len(found)))
    return tuple(numbers)
