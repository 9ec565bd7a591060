"""Haystack: a component that shifts a query's embedding, and a ranker.

Put `QueryShift` between a text embedder and a retriever; `NormalizedRanker` behind a retriever that
returns embeddings (``return_embedding=True``). ``scale_score=True`` maps scores to [0, 1] by a
formula made for raw cosines: leave it off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distnorm.errors import DistnormError, require
from distnorm.integrations.ranking import ranked, shifted, side_of_queries
from distnorm.normalization import ScoreNormalization, load

if TYPE_CHECKING:
    from haystack import Document, component
else:
    _haystack = require("haystack", "haystack")
    Document, component = _haystack.Document, _haystack.component

__all__ = ["NormalizedRanker", "QueryShift"]


def _loaded(norm: ScoreNormalization | str) -> ScoreNormalization:
    """A pipeline that is written down keeps the path of the file."""
    return load(norm) if isinstance(norm, str) else norm


@component
class QueryShift:
    """q - s m for the embedding of a query.

    ``norm`` is a normalization that shifts queries, or the path of its file, which is needed to
    serialize a pipeline. ``query_side`` is "query" or "text" if left out and the normalization has
    one of these.
    """

    def __init__(self, norm: ScoreNormalization | str, query_side: str | None = None) -> None:
        self.norm, self.query_side = norm, query_side
        self._norm = _loaded(norm)
        self._side = side_of_queries(self._norm, query_side)
        self._norm.correction(self._side).require_shift()

    @component.output_types(embedding=list[float])
    def run(self, embedding: list[float]) -> dict[str, Any]:
        """Shift one embedding, a list of d numbers."""
        return {"embedding": shifted(self._norm, embedding, self._side)}


@component
class NormalizedRanker:
    """Ranks documents that carry their embedding by corrected score; cuts at a false-alarm rate.

    ``norm`` is any normalization with a score of its own, or the path of its file; calibrated if
    documents are left out whose score more than a share ``false_alarm_rate`` of non-matching pairs
    exceeds. At most ``top_k`` stay. ``query_side`` is "query" or "text" if left out and the
    normalization has one of these.
    """

    def __init__(
        self,
        norm: ScoreNormalization | str,
        query_side: str | None = None,
        false_alarm_rate: float | None = None,
        top_k: int | None = None,
    ) -> None:
        self.norm, self.query_side = norm, query_side
        self.false_alarm_rate, self.top_k = false_alarm_rate, top_k
        self._norm = _loaded(norm)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document], query_embedding: list[float]) -> dict[str, Any]:
        """Documents with their two-sided score, best first; ``query_embedding`` is not shifted."""
        bare = [each.id for each in documents if each.embedding is None]
        if bare:
            raise DistnormError(
                f"{len(bare)} of {len(documents)} documents without embedding, first {bare[0]}",
                "documents that carry their vectors",
                "set return_embedding=True at the retriever",
            )
        found = ranked(
            self._norm,
            query_embedding,
            [each.embedding or [] for each in documents],
            query_side=self.query_side,
            false_alarm_rate=self.false_alarm_rate,
            k=self.top_k,
        )
        return {"documents": [replace(documents[i], score=score) for i, score in found]}
