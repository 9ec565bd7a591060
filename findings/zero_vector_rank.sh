#!/usr/bin/env bash
# DuckDB 2.0.1, sqlite-vec 0.1.9, LanceDB 0.40.0, hnswlib 0.8.0: one vector of zeros in a cosine search.
#
# Question: a failed download left a row of zeros among 300 rows; where does it stand in the list?
# Guess: last everywhere, or at distance 1 (cosine 0).
# Seen: DuckDB: NaN, the best of all `ORDER BY array_cosine_similarity(...) DESC`, the worst of all
#   `ORDER BY array_cosine_distance(...)`: the two spellings of one question disagree.
#   sqlite-vec: distance NULL; the best of all by `ORDER BY vec_distance_cosine(...)`, and in the
#   middle (place 230 of 300) of the list of a vec0 table. LanceDB: not in the list: 299 of 300 rows
#   come back. hnswlib: distance 1, between the positive and the negative cosines.
# Consequence: rows of zeros have to be kept out before they are stored.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 duckdb==2.0.1 sqlite-vec==0.1.9 pysqlite3-binary==0.5.4.post2 \
    lancedb==0.40.0 pyarrow==26.0.1 hnswlib==0.8.0
"$folder/v/bin/python" - "$folder/lance" <<'PY'
import sys

import duckdb
import hnswlib
import lancedb
import numpy as np
import pyarrow as pa
import sqlite_vec
from pysqlite3 import dbapi2 as sqlite

rows = np.random.default_rng(0).normal(size=(300, 16)).astype("f4")
rows[7] = 0
query = rows[0]

duck = duckdb.connect()
duck.execute("create table t (id int, v float[16])")
duck.executemany("insert into t values (?, ?)", [(i, row.tolist()) for i, row in enumerate(rows)])
ask = "select id from t order by {}(v, ?::float[16]) {}"
alike = [i for (i,) in duck.execute(ask.format("array_cosine_similarity", "desc"), [query.tolist()]).fetchall()]
apart = [i for (i,) in duck.execute(ask.format("array_cosine_distance", "asc"), [query.tolist()]).fetchall()]
print("DuckDB: place by similarity", alike.index(7), "by distance", apart.index(7))
assert alike.index(7) == 0 and apart.index(7) == 299

base = sqlite.connect(":memory:")
base.enable_load_extension(True)
sqlite_vec.load(base)
base.execute("create virtual table t using vec0(id integer primary key, v float[16] distance_metric=cosine)")
base.executemany("insert into t values (?, ?)", [(i, row.tobytes()) for i, row in enumerate(rows)])
listed = base.execute("select id, distance from t where v match ? and k = 300", [query.tobytes()]).fetchall()
ordered = base.execute("select id from t order by vec_distance_cosine(v, ?)", [query.tobytes()]).fetchall()
place = [i for i, _ in listed].index(7)
print("sqlite-vec: place in vec0", place, "distance", listed[place][1], "by function", [i for (i,) in ordered].index(7))
assert 0 < place < 299 and listed[place][1] is None and ordered[0][0] == 7

table = lancedb.connect(sys.argv[1]).create_table("t", pa.table({
    "id": range(300), "v": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 16)}))
found = [row["id"] for row in table.search(query).distance_type("cosine").limit(300).to_list()]
print("LanceDB:", len(found), "rows,", "with" if 7 in found else "without", "the zeros")
assert len(found) == 299 and 7 not in found

graph = hnswlib.Index(space="cosine", dim=16)
graph.init_index(300, M=32, ef_construction=400)
graph.add_items(rows)
graph.set_ef(300)
labels, distances = graph.knn_query(query, k=300)
print("hnswlib: distance", distances[0][list(labels[0]).index(7)])
assert distances[0][list(labels[0]).index(7)] == 1
PY
