"""Collections as people have them: filters, own ids, deletes, compression, two vectors per item.

Each habit gives an index and what its lists should hold; `shares` compares the lists raw, by DN and
by NNN with distnorm's own exact ones over the items that are there and may be found. Biases are
stored before items are deleted. A file that is built anew under its old ids is looked at twice: by
how many stored numbers `check` finds to be another row's, and by its lists after `upload_bias`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from index_builders import CASES, Built, Case, connect

import distnorm
from distnorm.search.indexes import open_index

K = 10
BY_NAME = {case.name: case for case in CASES}
SYSTEMS = (
    "faiss-idmap",
    "hnswlib-cosine",
    "usearch-exact",
    "qdrant-cosine",
    "pgvector-cosine",
    "pgvector-hnsw-cosine",
    "lancedb-cosine",
    "milvus-cosine",
    "chroma-cosine",
    "duckdb",
    "sqlite-vec-l2",
)
# A random rotation stands for OPQ, whose training does not survive so few rows.
COMPRESSED = ("SQ8", "PQ16", "RR512,IVF4,PQ16x4", "PQ64x4fs", "PQ64x4fs,RFlat")


class Data(NamedTuple):
    """Items, queries, and methods fitted to other texts."""

    items: np.ndarray
    queries: np.ndarray
    norms: dict[str, Any]


def shares(
    index: Any, data: Data, allowed: Sequence[int], ids: Sequence[Any], filter: Any = None
) -> dict[str, float]:
    """Agreement of each method with the exact lists of the rows ``allowed``."""
    rows = np.asarray(allowed)
    place = {str(ids[row]): row for row in rows.tolist()}
    found = {}
    for name, norm in data.norms.items():
        bias = None if norm is None else norm.item_bias(images=data.items[rows])
        exact = rows[distnorm.search.topk(data.queries, data.items[rows], K, bias=bias)[1]]
        lists = index.search(data.queries, K, norm, filter=filter).ids
        found[name] = float(
            np.mean(
                [
                    len({place.get(str(item), -1) for item in got} & set(best.tolist())) / K
                    for got, best in zip(lists, exact, strict=True)
                ]
            )
        )
    return found


def own_ids(n: int) -> list[int]:
    """Numbers that are no rows."""
    return (np.random.default_rng(4).permutation(n) * 7 + 10**12).tolist()


def first_half(case: Case, ids: Sequence[int]) -> Any:
    """A filter for the ids below the middle one, in the system's own language."""
    middle = sorted(ids)[len(ids) // 2]
    few = [item for item in ids if item < middle]
    system = case.name.partition("-")[0]
    if system in ("faiss", "hnswlib"):
        return few
    if system == "qdrant":
        return {"must": [{"has_id": few}]}
    if system == "chroma":
        return {"name": {"$in": [str(item) for item in few]}}
    return f"{'rowid' if system == 'sqlite' else 'id'} < {middle}"


def delete(case: Case, built: Built, ids: Sequence[int]) -> None:
    """Delete items as the system's users do."""
    system = case.name.partition("-")[0]
    place = (built.spec or "").partition(":")[2].partition("?")[0]
    folder, _, name = place.rpartition("/")
    few = ", ".join(map(str, ids))
    if system == "faiss":
        import faiss

        index = faiss.read_index(place)
        index.remove_ids(np.asarray(ids))
        faiss.write_index(index, place)
    elif system == "usearch":
        from usearch.index import Index as USearch

        index = USearch.restore(place)
        for item in ids:
            index.remove(item)
        index.save(place)
    elif system == "hnswlib":
        raise NotImplementedError
    elif system == "qdrant":
        index = built.open()
        index._client.delete("photos", list(ids))
    elif system == "pgvector":
        import psycopg

        url, _, table = place.rpartition("/")
        tail = (built.spec or "").partition("?")[2].partition("&metric")[0]
        with psycopg.connect(f"{url}?{tail}", autocommit=True) as connection:
            connection.execute(f"DELETE FROM {table} WHERE id IN ({few})")
    elif system == "lancedb":
        import lancedb

        lancedb.connect(folder).open_table(name).delete(f"id IN ({few})")
    elif system == "milvus":
        from pymilvus import MilvusClient

        client = MilvusClient(folder)
        client.delete(name, ids=list(ids))
        client.flush(name)
        client.close()
    elif system == "chroma":
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
        client.get_collection(name).delete(ids=[str(item) for item in ids])
        client.close()
    elif system == "duckdb":
        import duckdb

        with duckdb.connect(folder) as connection:
            connection.execute(f"DELETE FROM {name} WHERE id IN ({few})")
    else:
        connection = connect(folder)
        with connection:
            connection.execute(f"DELETE FROM {name} WHERE rowid IN ({few})")
        connection.close()


def plain(case: Case, data: Data, folder: Path) -> Iterator[tuple[str, Any]]:
    """Own ids, a filter over half of the items, and every tenth item deleted."""
    ids = own_ids(len(data.items))
    built = case.build(folder, ids, data.items)
    everything = range(len(ids))
    try:
        with built.open() as index:
            index.upload_bias(data.norms["nnn"])
            yield "own ids", shares(index, data, everything, ids)
            if index.filters:
                middle = sorted(ids)[len(ids) // 2]
                few = [row for row in everything if ids[row] < middle]
                yield "filter", shares(index, data, few, ids, first_half(case, ids))
            if case.name.startswith("hnswlib"):
                # Its marks are not kept in every version's file.
                for row in everything[::10]:
                    index.index.mark_deleted(ids[row])
                yield (
                    "deletes",
                    shares(index, data, [row for row in everything if row % 10], ids),
                )
                return
        delete(case, built, [ids[row] for row in everything[::10]])
        with built.open() as index:
            yield "deletes", shares(index, data, [row for row in everything if row % 10], ids)
    finally:
        built.stop()


def rebuilt(case: Case, data: Data, folder: Path) -> dict[str, Any]:
    """The same ids, other rows, in a file that is written anew."""
    ids = range(len(data.items))
    with case.build(folder, ids, data.items).open() as index:
        index.upload_bias(data.norms["nnn"])
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    other = data._replace(items=np.roll(data.items, 1, axis=0))
    with case.build(folder, ids, other.items).open() as index:
        certified = sum(index.search(data.queries, K, data.norms["nnn"]).certified)
        changed = index.check(data.norms["nnn"], everything=True).changed
        index.upload_bias(data.norms["nnn"])
        return {"certified": certified, "changed": changed, **shares(index, other, ids, ids)}


def compressed(factory: str, data: Data, folder: Path) -> dict[str, Any]:
    """A compressed FAISS file, as `index_factory` builds it; rows handed in where it keeps them."""
    import faiss

    index = faiss.index_factory(data.items.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(data.items)
    index.add(data.items)
    path = folder / "small.index"
    faiss.write_index(index, str(path))
    ids = range(len(data.items))
    with open_index(f"faiss:{path}?nprobe=4") as opened:
        keeps = "fs" in factory and "RFlat" not in factory
        rows: dict[str, Any] = {"ids": ids, "items": data.items} if keeps else {}
        opened.upload_bias(data.norms["nnn"], **rows)
        return shares(opened, data, ids, ids)


def two_vectors(system: str, data: Data, folder: Path) -> Iterator[tuple[str, Any]]:
    """Two vectors per item under one id, each with its own numbers."""
    crops = distnorm.normalize(data.items[::-1] + 0.05 * data.items)
    ids = range(len(crops))
    if system == "duckdb":
        import duckdb

        d, place = crops.shape[1], folder / "two.duckdb"
        with duckdb.connect(str(place)) as connection:
            connection.execute(f"CREATE TABLE photos (id INT, photo FLOAT[{d}], crop FLOAT[{d}])")
            for row in ids:
                values = [row, data.items[row].tolist(), crops[row].tolist()]
                connection.execute("INSERT INTO photos VALUES (?, ?, ?)", values)
        spec, option = f"duckdb:{place}/photos", "column"
    else:
        from qdrant_client import QdrantClient, models

        client = QdrantClient(path=str(folder / "two"))
        size = models.VectorParams(size=crops.shape[1], distance="Cosine")
        client.create_collection("photos", vectors_config={"photo": size, "crop": size})
        client.upload_points(
            "photos",
            [
                models.PointStruct(
                    id=row, vector={"photo": data.items[row].tolist(), "crop": crops[row].tolist()}
                )
                for row in ids
            ],
        )
        client.close()
        spec, option = f"qdrant:{folder / 'two'}/photos", "vector"
    both = {"photo": data, "crop": data._replace(items=crops)}
    for name in both:
        with open_index(f"{spec}?{option}={name}") as index:
            index.upload_bias(data.norms["nnn"])
    for name, each in both.items():
        with open_index(f"{spec}?{option}={name}") as index:
            yield name, shares(index, each, ids, ids)


def run(data: Data, root: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """All habits: habit, then system, then what was found."""
    results: dict[str, Any] = {}

    def keep(habit: str, name: str, found: Any) -> None:
        report(f"{habit}, {name}: {found}")
        results.setdefault(habit, {})[name] = found

    def place(name: str) -> Path:
        folder = root / name
        folder.mkdir()
        return folder

    for name in SYSTEMS:
        if BY_NAME[name].missing is None:
            for habit, found in plain(BY_NAME[name], data, place(name.replace("-", "_"))):
                keep(habit, name, found)
    for name in ("faiss-flat", "hnswlib-cosine", "usearch-exact"):
        if BY_NAME[name].missing is None:
            keep("rebuilt file", name, rebuilt(BY_NAME[name], data, place(f"{name}-again")))
    for number, factory in enumerate(COMPRESSED):
        keep("compressed", f"faiss {factory}", compressed(factory, data, place(f"small{number}")))
    for system in ("duckdb", "qdrant"):
        for name, found in two_vectors(system, data, place(f"two-{system}")):
            keep("two vectors", f"{system}, {name}", found)
    return results


def table(results: dict[str, Any]) -> str:
    """Markdown: a row per habit and system."""
    lines = ["| collection | system | raw / DN / NNN |", "|---|---|---|"]
    for habit, systems in results.items():
        for name, found in systems.items():
            cell = " / ".join(f"{100 * found[key]:.1f}" for key in ("raw", "dn", "nnn"))
            note = ""
            if "changed" in found:
                note = f"; before: {found['certified']} certified, {found['changed']} found changed"
            lines.append(f"| {habit} | {name} | {cell}{note} |")
    return "\n".join(lines)
