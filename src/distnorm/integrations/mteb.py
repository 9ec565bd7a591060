"""MTEB and MIEB: a search back end that ranks any model's rows by corrected scores.

    mteb.models.search_wrappers.SearchEncoderWrapper(model, index_backend=CorrectedSearch(norm))

Statistics come from rows that the task does not evaluate: the task's train split, or a log of one's
own, encoded by the same model with the same prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distnorm.arrays import Float32, normalize, to_numpy
from distnorm.errors import DistnormError
from distnorm.integrations.ranking import side_of_queries
from distnorm.metrics.ranks import top_items
from distnorm.normalization import ScoreNormalization

__all__ = ["CorrectedSearch"]


class CorrectedSearch:
    """Exact search by the ranking score of a normalization; mteb's search back end protocol.

    ``norm`` is of any method, fitted on unit rows of the model that is evaluated. Rows are given
    unit length first: scores are those of cosines, whatever similarity the model's card names.
    ``query_side`` is "query" or "text" if left out and the normalization has one of these.
    """

    def __init__(self, norm: ScoreNormalization, query_side: str | None = None) -> None:
        self.norm, self.query_side = norm, side_of_queries(norm, query_side)
        self.clear()

    def add_documents(self, embeddings: Any, idxs: Sequence[str]) -> None:
        """Keep rows, shape (n, d), and their ids."""
        rows = _unit_rows(embeddings)
        if len(rows) != len(idxs):
            raise DistnormError(
                f"{len(rows)} rows and {len(idxs)} ids", "one id per row", "encode the corpus again"
            )
        self._parts.append(rows)
        self._ids.extend(idxs)

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Any = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Scores and places of the ``top_k`` best documents of each query (n, d), best first.

        ``similarity_fn`` is not called: the normalization scores. With ``top_ranked`` only these
        documents of each query are ranked, by the ids in ``query_idx_to_id``, and places are those
        in its list.
        """
        if not self._parts:
            raise DistnormError("no documents", "a corpus", "call add_documents first")
        queries, documents = _unit_rows(embeddings), np.concatenate(self._parts)
        if top_ranked is None:
            return self._best(queries, documents, top_k)
        if query_idx_to_id is None:
            raise DistnormError("top_ranked without ids of queries", "query_idx_to_id", "pass both")
        place = {name: i for i, name in enumerate(self._ids)}
        scores, places = [], []
        for i in range(len(queries)):
            some = [place[name] for name in top_ranked[query_idx_to_id[i]]]
            found = self._best(queries[i : i + 1], documents[some], top_k)
            scores.append(found[0][0])
            places.append(found[1][0])
        return scores, places

    def clear(self) -> None:
        """Forget the documents; the normalization stays."""
        self._parts: list[Float32] = []
        self._ids: list[str] = []

    def _best(
        self, queries: Float32, documents: Float32, k: int
    ) -> tuple[list[list[float]], list[list[int]]]:
        ranking = self.norm.ranking(queries, documents, self.query_side)
        places = top_items(ranking, k)
        scores = np.take_along_axis(to_numpy(ranking.scores(), np.float64), places, axis=1)
        return scores.tolist(), places.tolist()


def _unit_rows(rows: Any) -> Float32:
    return np.asarray(normalize(to_numpy(rows, np.float32)))
