#!/usr/bin/env bash
# polars 2.1.0: the sum of a float16 column, alone and by group.
#
# Question: do `Series.sum()` and `group_by(...).agg(col.sum())` agree on one group that holds all rows?
# Guess: yes; both add in a wider type, since the plain sum is right.
# Seen: 100,000 times .1: `Series.sum()` 10000, the sum of the group 256 or 512 by the number of
#   threads (it stops where adding .1 no longer changes a float16), the group's mean .1.
# Consequence: cast half-precision columns to Float32 before a grouped sum.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 polars==2.1.0
"$folder/v/bin/python" - <<'PY'
import numpy as np
import polars as pl

frame = pl.DataFrame({"group": np.zeros(100_000, int), "score": np.full(100_000, 0.1, "f2")})
grouped = frame.group_by("group").agg(pl.col("score").sum().alias("sum"), pl.col("score").mean().alias("mean"))
wide = frame.group_by("group").agg(pl.col("score").cast(pl.Float32).sum())["score"].item()
alone, together, mean = frame["score"].sum(), grouped["sum"].item(), grouped["mean"].item()
print(frame.schema["score"], "alone", alone, "in one group", together, "mean", mean, "cast first", wide)
assert alone == 10_000 and together in (256, 512) and abs(mean - 0.1) < 1e-3 and abs(wide - 10_000) < 5
PY
