"""Several results: a list that shows itself as a table."""

from __future__ import annotations

from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted


class Attributions(list[Attribution]):
    """The results of a list of inputs, in their order: a list, which a notebook shows as a table.

    >>> results = Attributions([result, result])
    >>> results
    <Attributions 2 results · positive 0.875, positive 0.875>
    >>> results == [result, result], len(results[:1])
    (True, 1)
    """

    def __repr__(self) -> str:
        said = (each.prediction.said(20) for each in self[:10])
        return brief(self, counted(len(self), "result"), ", ".join(said))

    def _repr_html_(self) -> str:
        from attattr.page.several import table

        return table(self)
