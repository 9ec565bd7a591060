"""A running clip-retrieval server: its ``POST /knn-service``, asked with an embedding.

The server takes ``embedding_input`` as it is, so a shifted query works on it today. It does not
give rows back: `upload_bias` wants them from the embeddings the server's index was built of
(``ids`` are row numbers), and biases lie in a folder on the asking side, ``biases=FOLDER``.
De-duplication and the server's filters are switched off: they would make lists that are no top-k.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import Request

import numpy as np

from distnorm.arrays import Float32
from distnorm.errors import DistnormError
from distnorm.search.indexes.arguments import one_of, split_last
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import BiasFolder
from distnorm.search.indexes.system import Batch, Capabilities, Hits
from distnorm.system.http import whole_answer

__all__ = ["ClipRetrievalIndex"]

_UNITS = {"ip": "ip", "l2": "l2sq"}
_MOST = 10_000


class ClipRetrievalIndex(Index):
    """One indice of a server.

    Parameters
    ----------
    url : str
        Of the server.
    indice : str
    modality : {"image", "text"}
        Which of its indexes to search.
    dimension : int
        Of the embeddings; found by asking if 0.
    exact : bool
        Whether its index is a flat one: the server does not say.
    metric : {"ip", "l2"}
        Of its index; clip-retrieval builds inner product.
    timeout : float
        In seconds, for the whole of a request.

    Attributes
    ----------
    largest_answer : int
        In bytes; a longer answer is refused.
    """

    largest_answer: int = 1 << 26
    system: ClassVar[str] = "clip-retrieval"
    counts_items: ClassVar[bool] = False
    failures = (ValueError, KeyError, TypeError)
    apart = "look at the server: an index lists an item once"

    def __init__(
        self,
        url: str,
        indice: str,
        *,
        modality: str = "image",
        dimension: int = 0,
        exact: bool = False,
        metric: str = "ip",
        timeout: float = 10.0,
    ) -> None:
        one_of("metric", metric, _UNITS, "as the index was built")
        self._url, self._indice, self._modality = url.rstrip("/"), indice, modality
        self._timeout = timeout
        self.place = f"clip-retrieval:{url}/{indice}"
        self.biases = BiasFolder(None)
        with self.plain_errors("open"):
            names = self._get("/indices-list")
            if not isinstance(names, list):
                raise ValueError(f"indices that are no list: {str(names)[:80]}")
        if indice not in names:
            raise DistnormError(
                f"indice {indice!r} of {url}", f"one of {', '.join(map(str, names))}", "name it"
            )
        dimension = dimension or self._find_dimension()
        self.capabilities = Capabilities(_UNITS[metric], dimension, exact, max_k=_MOST)

    @classmethod
    def open(cls, target: str, **options: Any) -> ClipRetrievalIndex:
        """``http://host:port/indice``."""
        url, indice = split_last(target, "clip-retrieval", "indice")
        if not url.startswith(("http://", "https://")):
            raise DistnormError(
                f"clip-retrieval:{target}", "clip-retrieval:http://host:port/indice", "write it so"
            )
        return cls(url, indice, **options)

    def count(self) -> int:
        """Unknown to the client: what one search may return at most."""
        return _MOST

    def nearest(
        self, queries: Float32, k: int, column: str | None = None, filter: Any = None
    ) -> list[Hits]:
        """One request per query."""
        found = []
        for row in queries:
            answer = self._ask(row.tolist(), k)
            if len(answer) > k:
                raise ValueError(f"{len(answer)} results where {k} were asked for")
            ids = [hit["id"] for hit in answer]
            values = np.array([float(hit["similarity"]) for hit in answer])
            if not all(isinstance(item, (int, str)) for item in ids):
                raise ValueError("ids that are neither numbers nor texts")
            if not np.isfinite(values).all():
                raise ValueError("similarities that are no finite numbers")
            found.append(Hits(ids, values))
        return found

    def vectors(self, batch: int) -> Iterator[Batch]:
        """None: the server keeps its rows."""
        return iter(())

    def _ask(self, query: list[float], k: int) -> list[dict[str, Any]]:
        body = {
            "text": None,
            "image": None,
            "image_url": None,
            "embedding_input": query,
            "modality": self._modality,
            "num_images": k,
            "num_result_ids": k,
            "indice_name": self._indice,
            "deduplicate": False,
            "use_safety_model": False,
            "use_violence_detector": False,
            "use_mclip": False,
        }
        answer = self._get("/knn-service", body)
        if not isinstance(answer, list):
            raise ValueError(f"an answer that is no list: {str(answer)[:80]}")
        return answer

    def _get(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"})
        try:
            return json.loads(whole_answer(request, self._timeout, self.largest_answer))
        except HTTPError as error:
            with error:
                raise ValueError(f"HTTP {error.code} from {request.selector}") from error
        except (HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                words = f"timed out: no whole answer within {self._timeout:g} s"
                raise TimeoutError(words) from error
            raise ConnectionError(f"the connection broke off: {reason}") from error

    def _find_dimension(self) -> int:
        """Try the usual sizes: the server answers with an error for a wrong one."""
        for size in (512, 768, 1024, 640, 256, 1152, 1280, 384):
            try:
                self._ask([1.0] + [0.0] * (size - 1), 1)
            except ValueError:
                continue
            except OSError as error:
                with self.plain_errors("open"):
                    raise error
            return size
        raise DistnormError(
            f"{self.place} of unknown dimensions", "the number", "pass dimension= (?dimension=512)"
        )
