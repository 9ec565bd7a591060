"""LanceDB: a reranker of what a search found, by corrected score.

    table.search(row).rerank(NormalizedReranker(norm, embed), query_string="a red bus").limit(10)

It ranks the rows that the search fetched (``limit``), and no others: for whole lists use
``distnorm.open_index("lancedb:...")``, which fetches as many as the biases need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from distnorm.errors import DistnormError, require
from distnorm.integrations.ranking import ranked, side_of_queries
from distnorm.normalization import ScoreNormalization

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.rerankers import Reranker
else:
    Reranker = require("lancedb.rerankers", "lancedb").Reranker
    pa = require("pyarrow", "lancedb")

__all__ = ["NormalizedReranker"]


class NormalizedReranker(Reranker):
    """Ranks fetched rows by corrected score and cuts them at a false-alarm rate.

    ``norm`` has a score of its own, and is calibrated if rows are left out whose score more than a
    share ``false_alarm_rate`` of non-matching pairs exceeds. ``embed`` makes of the query's
    sentence its unit row, shape (d,): LanceDB hands rerankers the words. ``column`` holds the
    vectors and must be among the selected ones. ``query_side`` is "query" or "text" if left out and
    the normalization has one of these.
    """

    def __init__(
        self,
        norm: ScoreNormalization,
        embed: Callable[[str], Sequence[float]],
        column: str = "vector",
        query_side: str | None = None,
        false_alarm_rate: float | None = None,
    ) -> None:
        super().__init__("relevance")
        self.norm, self.embed, self.column = norm, embed, column
        self.query_side = side_of_queries(norm, query_side)
        self.false_alarm_rate = false_alarm_rate

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """Rows of a vector search, best first, with ``_relevance_score``: the two-sided score."""
        return self._ranked(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """Rows of a search by words, ranked by their vectors."""
        return self._ranked(query, fts_results)

    def rerank_hybrid(
        self, query: str, vector_results: pa.Table, fts_results: pa.Table
    ) -> pa.Table:
        """Rows of both searches, each once."""
        both = self.merge_results(vector_results, fts_results)
        return self._keep_relevance_score(self._ranked(query, both))

    def _ranked(self, query: str, found: pa.Table) -> pa.Table:
        if self.column not in found.column_names:
            raise DistnormError(
                f"rows with {', '.join(found.column_names)}",
                f"the column {self.column} among them",
                "select it, or pass column= of the vectors' name",
            )
        rows = np.array(found[self.column].to_pylist(), np.float32)
        best = ranked(
            self.norm,
            np.asarray(self.embed(query)),
            rows,
            query_side=self.query_side,
            false_alarm_rate=self.false_alarm_rate,
        )
        places, scores = [place for place, _ in best], [score for _, score in best]
        return found.take(pa.array(places, pa.int64())).append_column(
            "_relevance_score", pa.array(scores, pa.float32())
        )
