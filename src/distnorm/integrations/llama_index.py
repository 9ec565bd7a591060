"""LlamaIndex: an embedding that shifts queries, and a postprocessor that ranks nodes again.

``SimilarityPostprocessor(similarity_cutoff=)`` compares raw scores of one store with a number of
one model; `NormalizedPostprocessor` cuts at a false-alarm rate instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distnorm.errors import DistnormError, require
from distnorm.integrations.ranking import ranked, shifted, side_of_queries
from distnorm.normalization import ScoreNormalization

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import NodeWithScore, QueryBundle
    from pydantic import ConfigDict
else:
    BaseEmbedding = require("llama_index.core.base.embeddings.base", "llama-index").BaseEmbedding
    BaseNodePostprocessor = require(
        "llama_index.core.postprocessor.types", "llama-index"
    ).BaseNodePostprocessor
    ConfigDict = require("pydantic", "llama-index").ConfigDict
    _schema = require("llama_index.core.schema", "llama-index")
    NodeWithScore, QueryBundle = _schema.NodeWithScore, _schema.QueryBundle

__all__ = ["NormalizedPostprocessor", "ShiftedEmbedding"]


class ShiftedEmbedding(BaseEmbedding):
    """An embedding whose queries are shifted by q - s m; nodes stay as they are.

    ``norm`` shifts queries (dn, dn*, ridge) and was fitted on vectors of ``embedding``.
    ``query_side`` is "query" or "text" if left out and the normalization has one of these.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    embedding: BaseEmbedding
    norm: ScoreNormalization
    query_side: str | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a method that does not shift queries."""
        super().model_post_init(context)
        self.query_side = side_of_queries(self.norm, self.query_side)
        self.norm.correction(self.query_side).require_shift()

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex writes it down."""
        return "DistnormShiftedEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return shifted(self.norm, self.embedding.get_query_embedding(query), str(self.query_side))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return shifted(
            self.norm, await self.embedding.aget_query_embedding(query), str(self.query_side)
        )

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.embedding.get_text_embedding(text)


class NormalizedPostprocessor(BaseNodePostprocessor):
    """Ranks retrieved nodes by corrected score and cuts them at a false-alarm rate.

    ``embedding`` embeds the query, and the nodes that do not carry their vector. ``norm`` is any
    normalization with a score of its own, calibrated if nodes are left out whose score more than a
    share ``false_alarm_rate`` of non-matching pairs exceeds. At most ``top_n`` stay. ``query_side``
    is "query" or "text" if left out and the normalization has one of these.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    embedding: BaseEmbedding
    norm: ScoreNormalization
    query_side: str | None = None
    false_alarm_rate: float | None = None
    top_n: int | None = None

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex writes it down."""
        return "DistnormPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise DistnormError(
                "nodes without a query", "the query", "pass query_str= or query_bundle="
            )
        query = self.embedding.get_query_embedding(query_bundle.query_str)
        rows = [
            each.node.embedding or self.embedding.get_text_embedding(each.node.get_content())
            for each in nodes
        ]
        found = ranked(
            self.norm,
            query,
            rows,
            query_side=self.query_side,
            false_alarm_rate=self.false_alarm_rate,
            k=self.top_n,
        )
        return [NodeWithScore(node=nodes[i].node, score=score) for i, score in found]
