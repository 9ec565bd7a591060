"""`open_index`: one line names a system and an index in it.

    faiss:photos.index             usearch:photos.usearch        hnswlib:photos.bin?dim=512&space=ip
    qdrant:folder/collection       qdrant:http://host:6333/collection
    pgvector:postgresql://user@host/database/table?column=embedding&id=id
    lancedb:folder/table           milvus:file.db/collection     chroma:folder/collection
    duckdb:file.db/table           sqlite-vec:file.db/table
    clip-retrieval:http://host:1234/indice

What follows ``?`` are options, the same as keywords of `open_index`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from distnorm.errors import DistnormError, masked
from distnorm.search.indexes.base import Index
from distnorm.search.indexes.bias_store import BiasFolder

__all__ = ["SYSTEMS", "is_spec", "open_index"]

# Not a drive: C:/photos is a path.
_WORD = re.compile(r"[a-z][a-z-]+")
# System: module and class.
SYSTEMS = {
    "chroma": ("chroma", "ChromaIndex"),
    "clip-retrieval": ("clip_retrieval", "ClipRetrievalIndex"),
    "duckdb": ("duckdb", "DuckDBIndex"),
    "faiss": ("faiss", "FaissIndex"),
    "hnswlib": ("hnswlib", "HnswlibIndex"),
    "lancedb": ("lancedb", "LanceDBIndex"),
    "milvus": ("milvus", "MilvusIndex"),
    "pgvector": ("pgvector", "PgvectorIndex"),
    "qdrant": ("qdrant", "QdrantIndex"),
    "sqlite-vec": ("sqlite_vec", "SqliteVecIndex"),
    "usearch": ("usearch", "USearchIndex"),
}


def is_spec(text: str) -> bool:
    """Whether this names an index: ``word:place``, and no file or folder that is there."""
    name, _, place = text.partition(":")
    if not place:
        return False
    return name in SYSTEMS or (_WORD.fullmatch(name) is not None and not os.path.exists(text))


def open_index(
    spec: str,
    *,
    model: str | None = None,
    biases: str | Path | None = None,
    bias_dimension: bool = False,
    **options: Any,
) -> Index:
    """Open an index that exists.

    Parameters
    ----------
    spec : str
        ``system:place?option=value``, see the module.
    model : str, optional
        Model of the stored rows; normalizations of another one are refused.
    biases : path, optional
        Folder for biases of items, instead of the system's own place.
    bias_dimension : bool
        The last stored dimension is the bias (see `biases`): inner product only.
    **options
        Of the system: its adapter's ``open``.

    Returns
    -------
    Index
        Also a context manager.

    Raises
    ------
    DistnormError
        For a malformed spec, unknown options, or an index that is not there.
    MissingExtraError
        If the system's package is not installed; names the pip line.

    Examples
    --------
    >>> open_index("pinecone:photos")
    Traceback (most recent call last):
    distnorm.errors.DistnormError: got the index 'pinecone:photos'; expected system:place with ...
    """
    with _discreet():
        return _opened(
            spec, {"model": model, "biases": biases, "bias_dimension": bias_dimension}, options
        )


@contextmanager
def _discreet() -> Iterator[None]:
    """Let no error of a client library behind ours show an address with its secrets."""
    try:
        yield
    except DistnormError as error:
        cause = str(error.__cause__ or "")
        if masked(cause) != cause:
            raise error from None
        raise


def _opened(spec: str, shared: dict[str, Any], options: dict[str, Any]) -> Index:
    name, colon, place = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if name not in SYSTEMS or not colon or not place or "\0" in place:
        raise DistnormError(
            f"the index {spec!r}",
            f"system:place with a system of {', '.join(SYSTEMS)}",
            "write e.g. faiss:photos.index",
        )
    module, class_ = SYSTEMS[name]
    adapter = getattr(importlib.import_module(f"distnorm.search.indexes.{module}"), class_)
    known = _known(adapter, shared)
    target, found = _options(place, set(known) | set(shared))
    for key, value in found.items():
        if key in shared:
            shared[key] = value
        else:
            options[key] = value
    unknown = [key for key in options if key not in known]
    if unknown:
        allowed = ", ".join(known) or "no options"
        raise DistnormError(f"option {unknown[0]!r} for {name}", allowed, "leave it out")
    values = {key: _typed(key, value, known[key]) for key, value in options.items()}
    index: Index = adapter.open(target, **values)
    index.place = masked(index.place)
    try:
        return _share(index, shared)
    except BaseException:
        index.close()
        raise


def _known(adapter: Any, shared: Container[str]) -> dict[str, Any]:
    """Defaults of a system's options: keywords of its constructor, and of what opens it."""
    made = inspect.signature(adapter.__init__).parameters.values()
    opened = list(inspect.signature(adapter.open).parameters.values())[1:]
    options = [each for each in made if each.kind is each.KEYWORD_ONLY]
    options += [each for each in opened if each.kind is not each.VAR_KEYWORD]
    return {each.name: each.default for each in options if each.name not in shared}


def _share(index: Index, shared: dict[str, Any]) -> Index:
    index.model = shared["model"]
    if shared["biases"] is not None:
        index.biases = BiasFolder(Path(shared["biases"]))
        index.shelf = "/".join(index.place.split("/")[-index.told_by :])
    inside = _typed("bias_dimension", shared["bias_dimension"], False)
    index.capabilities = replace(index.capabilities, bias_dimension=inside)
    if inside and index.metric != "ip":
        raise DistnormError(
            f"bias_dimension of a {index.metric} index",
            "an inner product index",
            "store biases beside the items instead: upload_bias",
        )
    return index


def _options(place: str, known: set[str]) -> tuple[str, dict[str, str]]:
    """Split options off; what no adapter knows stays in an address, such as libpq's ``host``."""
    target, mark, tail = place.rpartition("?")
    if not mark:
        return place, {}
    pairs = parse_qsl(tail, keep_blank_values=True)
    mine = {key: value for key, value in pairs if key in known}
    if "://" not in target:
        return target, {**dict(pairs), **mine}
    # As it is written: libpq reads a plus as a plus.
    parts = [part for part in tail.split("&") if part]
    rest = [part for part in parts if unquote_plus(part.partition("=")[0]) not in mine]
    return (f"{target}?{'&'.join(rest)}" if rest else target), mine


def _typed(key: str, value: Any, default: Any) -> Any:
    """A text option in the type of its default."""
    if not isinstance(value, str) or isinstance(default, str) or default is None:
        return value
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return type(default)(value)
    except (KeyError, ValueError) as error:
        raise DistnormError(f"{key}={value}", f"a value like {default!r}", "write it so") from error
