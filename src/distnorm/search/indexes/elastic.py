"""Query bodies for Elasticsearch and OpenSearch, and scores back from theirs.

Both squeeze similarities into scores above 0, each metric its own way; `recover_products` undoes
it. An Elasticsearch field of similarity ``dot_product`` refuses queries that are not of unit
length: such a query is sent at unit length, which leaves its order alone, and its length n is
given to `recover_products`.

    dot_product, cosine        score = (1 + v) / 2               v = the product of unit vectors
    max_inner_product          score = v + 1 if v >= 0 else 1 / (1 - v)
    l2_norm                    score = 1 / (1 + d2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distnorm.arrays import Float64
from distnorm.errors import DistnormError
from distnorm.exact import check_k
from distnorm.search.indexes.arguments import one_of
from distnorm.search.indexes.recovery import inner_products

__all__ = ["SIMILARITIES", "knn_body", "recover_products", "script_score_body"]

_MOST = 10_000
SIMILARITIES = ("dot_product", "cosine", "max_inner_product", "l2_norm")


def knn_body(
    query: Any,
    field: str,
    k: int = 10,
    *,
    similarity: str = "dot_product",
    num_candidates: int | None = None,
    opensearch: bool = False,
    source: list[str] | bool = False,
) -> dict[str, Any]:
    """Body of an approximate search for one, possibly shifted, query of shape (d,).

    Parameters
    ----------
    query : array, shape (d,)
        Of `ScoreNormalization.shift_queries`, or raw.
    field : str
        The dense_vector (knn_vector) field.
    k : int
    similarity : str
        Of the field, one of `SIMILARITIES` (OpenSearch: innerproduct is max_inner_product,
        cosinesimil is cosine, l2 is l2_norm).
    num_candidates : int, optional
        A shard, Elasticsearch only; the larger of 100 and 10 k, and 10,000 at most.
    opensearch : bool
        OpenSearch's form of the body.
    source : list of str or bool
        Fields to return, such as the bias.

    Raises
    ------
    DistnormError
        For another similarity, k below 1 or above 10,000, or an unusable query.
    """
    k, vector = _length(k, "k"), _vector(query, similarity)
    if num_candidates is not None and _length(num_candidates, "num_candidates") < k:
        raise DistnormError(
            f"num_candidates = {num_candidates} for k = {k}", f"at least {k}", "leave it out"
        )
    if similarity in ("dot_product", "cosine"):
        vector = vector / np.linalg.norm(vector)
    values = [float(np.float32(value)) for value in vector]
    if opensearch:
        inner: dict[str, Any] = {"knn": {field: {"vector": values, "k": k}}}
        return {"size": k, "query": inner, "_source": source}
    candidates = min(_MOST, num_candidates or max(100, 10 * k))
    return {
        "size": k,
        "knn": {"field": field, "query_vector": values, "k": k, "num_candidates": candidates},
        "_source": source,
    }


def script_score_body(
    query: Any,
    field: str,
    k: int = 10,
    *,
    bias_field: str | None = None,
    highest_bias: float = 0.0,
    mean_bias: float = 0.0,
    rescore: int | None = None,
) -> dict[str, Any]:
    """Body of an exact Elasticsearch search by q.x, or q.x - b(x) with a stored bias.

    Scripts may not return numbers below 0: |q| plus the highest bias is added, and comes back as
    ``params.offset``; the score is ``_score - offset``.

    Parameters
    ----------
    query : array, shape (d,)
    field : str
        A dense_vector field of unit rows.
    k : int
    bias_field : str, optional
        Numeric field with `item_bias`; an item without one takes ``mean_bias``.
    highest_bias, mean_bias : float
        Of the stored biases.
    rescore : int, optional
        Only score the first so many of an approximate search again, instead of all items.

    Raises
    ------
    DistnormError
        For k or ``rescore`` below 1 or above 10,000, or an unusable query.
    """
    k, vector = _length(k, "k"), _vector(query, "max_inner_product")
    if not -np.inf < mean_bias <= highest_bias < np.inf:
        raise DistnormError(
            f"a mean bias of {mean_bias} and a highest of {highest_bias}",
            "finite numbers, the highest not below the mean",
            "take them of the stored biases",
        )
    length = float(np.linalg.norm(vector))
    values = [float(np.float32(value)) for value in vector]
    # Rows stored as float32 or bytes may be a little longer than 1.
    offset = 1.01 * length + max(0.0, highest_bias)
    params: dict[str, Any] = {"q": values, "offset": offset}
    script = f"dotProduct(params.q, '{field}') + params.offset"
    if bias_field is not None:
        params["mean"] = mean_bias
        held = f"doc['{bias_field}'].size() == 0 ? params.mean : doc['{bias_field}'].value"
        script += f" - ({held})"
    scoring = {"source": script, "params": params}
    exists = {"exists": {"field": field}}
    if rescore is None:
        query_body = {"script_score": {"query": exists, "script": scoring}}
        return {"size": k, "query": query_body}
    if _length(rescore, "rescore") < k:
        raise DistnormError(f"rescore = {rescore} for k = {k}", f"at least {k}", "raise rescore")
    first = knn_body(query, field, rescore, similarity="max_inner_product")
    window = {
        "window_size": rescore,
        "query": {
            "query_weight": 0,
            "rescore_query_weight": 1,
            "rescore_query": {"script_score": {"query": exists, "script": scoring}},
        },
    }
    return {"size": k, "knn": first["knn"], "rescore": window}


def recover_products(scores: Any, similarity: str, length: float) -> Float64:
    """q'.x from ``_score`` of a `knn_body` search with a query of length ``length``.

    Examples
    --------
    >>> recover_products([0.75], "cosine", 2.0)
    array([1.])
    """
    values = np.asarray(scores, dtype=np.float64)
    one_of("similarity", similarity, SIMILARITIES, "as the field's")
    if similarity in ("dot_product", "cosine"):
        return inner_products(2 * values - 1, "cos", length)
    if similarity == "l2_norm":
        return inner_products(1 / values - 1, "l2sq", length)
    return np.where(values >= 1, values - 1, 1 - 1 / np.maximum(values, 1e-300))


def _length(value: Any, name: str) -> int:
    """A number of results that a cluster takes."""
    number = check_k(value, name)
    if number > _MOST:
        raise DistnormError(
            f"{name} = {number}", f"at most {_MOST:,}: the clusters' limit", "ask for fewer"
        )
    return number


def _vector(query: Any, similarity: str) -> Float64:
    one_of("similarity", similarity, SIMILARITIES, "as the field's")
    vector = np.asarray(query, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise DistnormError(
            f"a query of shape {vector.shape}", "one finite vector, not all zero", "pass one row"
        )
    return vector
