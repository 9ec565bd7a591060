"""LangChain: an embedding that shifts queries, and a compressor that ranks documents again.

Relevance scores in [0, 1] (``similarity_search_with_relevance_scores``) cannot carry a correction:
corrected scores may be negative. Use ``similarity_search`` or a retriever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distnorm.errors import require
from distnorm.integrations.ranking import ranked, shifted, side_of_queries
from distnorm.normalization import ScoreNormalization

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
    from pydantic import ConfigDict
else:
    _core = require("langchain_core.documents", "langchain")
    BaseDocumentCompressor, Document = _core.BaseDocumentCompressor, _core.Document
    ConfigDict = require("pydantic", "langchain").ConfigDict
    Embeddings = require("langchain_core.embeddings", "langchain").Embeddings
    Callbacks = Any

__all__ = ["NormalizedCompressor", "ShiftedEmbeddings"]


class ShiftedEmbeddings(Embeddings):
    """Embeddings whose queries are shifted; documents stay, and so does the store they lie in.

    ``norm`` shifts queries (dn, dn*, ridge) and was fitted on vectors of ``embeddings``.
    ``query_side`` is "query" or "text" if left out and the normalization has one of these.
    """

    def __init__(
        self, embeddings: Embeddings, norm: ScoreNormalization, query_side: str | None = None
    ) -> None:
        self.embeddings, self.norm = embeddings, norm
        self.query_side = side_of_queries(norm, query_side)
        norm.correction(self.query_side).require_shift()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As the wrapped embeddings give them."""
        return self.embeddings.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The query's vector less s times the mean."""
        return shifted(self.norm, self.embeddings.embed_query(text), self.query_side)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As the wrapped embeddings give them."""
        return await self.embeddings.aembed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """The query's vector less s times the mean."""
        return shifted(self.norm, await self.embeddings.aembed_query(text), self.query_side)


class NormalizedCompressor(BaseDocumentCompressor):
    """Ranks a retriever's documents by corrected score and cuts them at a false-alarm rate.

    ``embeddings`` embed the query and the documents' text again: a document does not carry its
    vector. ``norm`` is any normalization with a score of its own, not only one that shifts;
    calibrated if documents are left out whose score more than a share ``false_alarm_rate`` of
    non-matching pairs exceeds. At most ``top_n`` stay. ``query_side`` is "query" or "text" if left
    out and the normalization has one of these.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    embeddings: Embeddings
    norm: ScoreNormalization
    query_side: str | None = None
    false_alarm_rate: float | None = None
    top_n: int | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Copies of the documents, best first, their score as ``distnorm_score`` in metadata."""
        found = ranked(
            self.norm,
            self.embeddings.embed_query(query),
            self.embeddings.embed_documents([each.page_content for each in documents]),
            query_side=self.query_side,
            false_alarm_rate=self.false_alarm_rate,
            k=self.top_n,
        )
        return [
            documents[i].model_copy(
                update={"metadata": {**documents[i].metadata, "distnorm_score": score}}
            )
            for i, score in found
        ]
