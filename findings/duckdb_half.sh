#!/usr/bin/env bash
# DuckDB 2.0.1, pyarrow 26.0.1, polars 2.1.0: half precision by file and by memory.
#
# Question: DuckDB reads float16 vectors from a Parquet file; does it read the Arrow table or the
#   polars frame that the file was written from?
# Guess: yes, as FLOAT, as from the file.
# Seen: from the file FLOAT and FLOAT[] with the right numbers; the Arrow table and the polars frame are
#   refused: NotImplementedException, "Unsupported Internal Arrow Type e".
# Consequence: cast to float32 before handing over a table in memory, or go through a file.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 duckdb==2.0.1 pyarrow==26.0.1 polars==2.1.0
"$folder/v/bin/python" - "$folder/half.parquet" <<'PY'
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

rows = np.arange(8, dtype="f2").reshape(2, 4)
table = pa.table({"score": pa.array(rows[:, 1]), "v": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 4)})
pq.write_table(table, sys.argv[1])
read = duckdb.sql(f"select typeof(score), typeof(v), v from '{sys.argv[1]}'").fetchall()
print("file:", read[0])
assert read[0] == ("FLOAT", "FLOAT[]", [0.0, 1.0, 2.0, 3.0])
frame = pl.DataFrame({"score": rows[:, 1]})
for name, held in (("Arrow", table), ("polars", frame)):
    try:
        duckdb.from_arrow(held.to_arrow() if name == "polars" else held).fetchall()
    except duckdb.NotImplementedException as error:
        print(name + ":", error)
        assert "Arrow Type e" in str(error)
    else:
        raise SystemExit(f"DuckDB reads float16 from {name} now")
PY
