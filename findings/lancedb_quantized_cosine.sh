#!/usr/bin/env bash
# LanceDB 0.40.0: cosine distances before and after a quantised index.
#
# Question: is `_distance` of a cosine search the same number with an IVF_PQ index as without one, up to
#   the error of quantisation?
# Guess: yes: a threshold on `_distance` goes on holding after the index is built.
# Seen: without an index 1 - cos; with IVF_PQ about 2 (1 - cos); with `refine_factor` 1 - cos again.
# Consequence: set refine_factor wherever the number itself is used.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 lancedb==0.40.0 pyarrow==26.0.1
"$folder/v/bin/python" - "$folder/lance" <<'PY'
import sys

import lancedb
import numpy as np
import pyarrow as pa

rows = np.random.default_rng(0).normal(size=(2_000, 16)).astype("f4")
query = np.random.default_rng(1).normal(size=16).astype("f4")
table = lancedb.connect(sys.argv[1]).create_table("t", pa.table({
    "id": range(len(rows)), "v": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 16)}))


def distances(refine=None):
    search = table.search(query).distance_type("cosine").limit(50)
    if refine:
        search = search.refine_factor(refine)
    return {row["id"]: row["_distance"] for row in search.to_list()}


cosines = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
plain = distances()
table.create_index("cosine", vector_column_name="v", index_type="IVF_PQ", num_partitions=1, num_sub_vectors=8)
indexed, refined = distances(), distances(4)
ratio = {name: float(np.median([d / (1 - cosines[i]) for i, d in found.items()]))
         for name, found in (("plain", plain), ("indexed", indexed), ("refined", refined))}
print("distance / (1 - cos):", {name: round(value, 2) for name, value in ratio.items()})
assert abs(ratio["plain"] - 1) < 0.01 and abs(ratio["refined"] - 1) < 0.01 and 1.7 < ratio["indexed"] < 2.3
PY
