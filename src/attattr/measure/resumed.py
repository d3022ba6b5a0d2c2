"""Long calls that go on where they were stopped: what their finished parts have to be of."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr import __version__, asked
from attattr.data.examples import Example, digest
from attattr.disk import digests, files
from attattr.disk.units import NOTHING_KEPT, Resume, Units, opened
from attattr.models.place import input_device

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

LIBRARIES = ("torch", "transformers", "numpy")


@contextlib.contextmanager
def resumed(
    resume: str | Path | Resume | None,
    work: str,
    attributor: Attributor,
    examples: Sequence[Example],
    options: Mapping[str, Any],
    total: Callable[[], int],
) -> Iterator[Units]:
    """The finished parts of a call, in the folder it was given; without one, nothing is kept.

    work: what is done. options: all that decides the results besides model and data; JSON. total: of parts.

    Raises:
        InputError: the folder has parts of another model, of other data or options, or of other versions
            of the libraries; or another process works in it.
        AttAttrError: it cannot be written.
    """
    if resume is None:
        yield NOTHING_KEPT
        return
    if not isinstance(resume, Resume):
        resume = Resume(files.local(asked.path(resume, "the folder of the parts")))
    facts = {
        "work": work,
        "model": attributor.facts
        | {"labels": attributor.labels, "device": str(input_device(attributor.model))}
        | {"vocabulary": _vocabulary(attributor.tokenizer)},
        "data": {"rows": len(examples), "sha256": of_rows(examples)},
        "options": dict(options),
        "versions": {"attattr": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES},
    }
    with opened(resume, facts, total()) as units:
        yield units


def of_rows(examples: Sequence[Example]) -> str:
    """Digest of the rows of a data set, in their order.

    >>> of_rows([Example("a fine film")]) == of_rows([Example("a fine film", label="positive")])
    False
    """
    return hashlib.sha256(
        "".join(f"{digest(e)} {json.dumps(e.label)}\n" for e in examples).encode()
    ).hexdigest()


def _vocabulary(tokenizer: Any) -> str | None:
    """Digest of a fast tokenizer, but for how it cuts and pads, which calls set."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    facts = json.loads(backend.to_str())
    return digests.of_json(
        {name: facts[name] for name in facts if name not in ("truncation", "padding")}
        | {"longest": str(tokenizer.model_max_length)}
    )
