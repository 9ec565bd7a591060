"""Files of indexes and databases, read by libraries of C++ and Rust, which trust their files."""

from __future__ import annotations

import contextlib
import importlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutations import mutate_bytes

import distnorm
from distnorm.search.indexes import files, open_index

__all__ = ["databases", "index_files"]

N, D = 300, 8
SECONDS = 4.0


@dataclass
class Places:
    """Originals and the spec that opens each; one file of one of them is changed at a time."""

    folder: Path
    specs: dict[str, str]
    norm: distnorm.ScoreNormalization
    queries: np.ndarray

    def attempt(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.specs))
        copy = self.folder / "changed"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        source, target = self.folder / name, copy / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        there = (
            [target] if target.is_file() else sorted(p for p in target.rglob("*") if p.is_file())
        )
        file = rng.choice(there)
        file.write_bytes(mutate_bytes(rng, file.read_bytes()))
        with open_index(self.specs[name].format(target)) as index:
            index.search(self.queries, 3)
            index.search(self.queries, 3, self.norm)
            index.check(self.norm)


def _made(folder: Path) -> tuple[np.ndarray, Places]:
    rng = np.random.default_rng(0)
    x, y = (distnorm.normalize(rng.normal(m, 1, (N, D))).astype(np.float32) for m in (0.4, -0.2))
    norm = distnorm.make("dn").fit(images=x, texts=y)
    return x, Places(folder, {}, norm, y[:3])


def index_files(folder: Path) -> Places:
    """FAISS, USearch, hnswlib, read in a child first."""
    files._SECONDS = SECONDS  # or what holds a reader up would be a hang here
    x, made = _made(folder)
    faiss = importlib.import_module("faiss")
    for kind in ("Flat", "IDMap,Flat", "HNSW8,Flat", "IVF4,Flat", "PQ4x4", "OPQ4,IVF4,PQ4x4"):
        index = faiss.index_factory(D, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(x)
        index.add_with_ids(x, np.arange(N)) if "IDMap" in kind else index.add(x)
        name = f"{kind.replace(',', '-')}.faiss"
        faiss.write_index(index, str(folder / name))
        made.specs[name] = "faiss:{}"
    hnswlib = importlib.import_module("hnswlib")
    graph = hnswlib.Index("ip", D)
    graph.init_index(N, M=8, ef_construction=50)
    graph.add_items(x, np.arange(N))
    graph.save_index(str(folder / "x.hnswlib"))
    made.specs["x.hnswlib"] = f"hnswlib:{{}}?dim={D}&space=ip"
    index = importlib.import_module("usearch.index").Index(ndim=D, metric="ip", dtype="f32")
    index.add(np.arange(N), x)
    index.save(str(folder / "x.usearch"))
    made.specs["x.usearch"] = "usearch:{}"
    return made


def databases(folder: Path) -> Places:
    """DuckDB and sqlite-vec in a file each, LanceDB in a folder."""
    x, made = _made(folder)
    duckdb = importlib.import_module("duckdb")
    with contextlib.closing(duckdb.connect(str(folder / "x.duckdb"))) as base:
        base.execute(f"create table photos(id int, embedding float[{D}])")
        base.executemany(
            "insert into photos values (?, ?)", [[i, r.tolist()] for i, r in enumerate(x)]
        )
    made.specs["x.duckdb"] = "duckdb:{}/photos"
    connect = importlib.import_module("distnorm.search.indexes.sqlite_vec").connect
    with contextlib.closing(connect(str(folder / "x.sqlite"))) as lite:
        lite.execute(f"create virtual table photos using vec0(embedding float[{D}])")
        lite.executemany(
            "insert into photos(rowid, embedding) values (?, ?)",
            [(i, row.tobytes()) for i, row in enumerate(x)],
        )
        lite.commit()
    made.specs["x.sqlite"] = "sqlite-vec:{}/photos"
    lancedb, arrow = importlib.import_module("lancedb"), importlib.import_module("pyarrow")
    vectors = arrow.array(x.tolist(), type=arrow.list_(arrow.float32(), D))
    table = arrow.table({"id": range(N), "vector": vectors})
    lancedb.connect(str(folder / "x.lance.d")).create_table("photos", table)
    made.specs["x.lance.d"] = "lancedb:{}/photos"
    return made
