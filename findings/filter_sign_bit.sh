#!/usr/bin/env bash
# vortex-data 0.93.0, LanceDB 0.40.0, polars 2.1.0, pyarrow 26.0.1: a filter on scores with NaN and -0.0.
#
# Question: which rows of .9, .1, NaN, NaN with its sign bit set (what 0/0 gives on x86), -0.0, 0.0, -.5 pass
#   `score > .5`, `score < .5`, `score = 0` and `score >= 0`?
# Guess: -0.0 equals 0.0 everywhere; NaN fails every comparison, as in IEEE 754 and Arrow, or is above all
#   numbers, as in polars and PostgreSQL, whatever its sign bit.
# Seen: in LanceDB and Vortex NaN is above all numbers and NaN with a sign bit below them all: one passes
#   `> .5`, the other `< .5`. Vortex takes the zeros apart too: `= 0` and `>= 0` leave out -0.0, `< 0` brings
#   it. One polars expression gives other rows over `to_polars()` of a Vortex file than over the same frame.
# Consequence: keep NaN out of a column that is filtered by number, and add 0.0 to scores (-0.0 + 0.0 is 0.0).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 vortex-data==0.93.0 lancedb==0.40.0 polars==2.1.0 pyarrow==26.0.1
"$folder/v/bin/python" - "$folder" <<'PY'
import sys

import lancedb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import vortex

scores = np.array([0.9, 0.1, np.nan, np.copysign(np.nan, -1), -0.0, 0.0, -0.5])
assert np.signbit(scores).tolist() == [False, False, False, True, True, False, True]
table = pa.table({"row": ["high", "low", "NaN", "-NaN", "-0", "0", "minus"], "score": scores})
base = lancedb.connect(f"{sys.argv[1]}/lance").create_table("t", table)
vortex.io.write(vortex.array(table), f"{sys.argv[1]}/t.vortex")
frame, lazy = pl.from_arrow(table), vortex.open(f"{sys.argv[1]}/t.vortex").to_polars()
held = lazy.collect()["score"].to_numpy()
assert np.array_equal(held.view("u8"), scores.view("u8"))  # the file itself keeps every bit

arrow, column = pc.field("score"), pl.col("score")
asked = {
    "> 0.5": (arrow > 0.5, column > 0.5), "< 0.5": (arrow < 0.5, column < 0.5),
    "= 0.0": (arrow == 0.0, column == 0.0), ">= 0.0": (arrow >= 0.0, column >= 0.0),
}
seen = {
    text: {
        "Arrow": table.filter(by_arrow)["row"].to_pylist(),
        "polars": frame.filter(by_polars)["row"].to_list(),
        "LanceDB": [row["row"] for row in base.search().where(f"score {text}").to_list()],
        "Vortex": lazy.filter(by_polars).collect()["row"].to_list(),
    }
    for text, (by_arrow, by_polars) in asked.items()
}
for text, answers in seen.items():
    print(text, {name: " ".join(rows) for name, rows in answers.items()})
assert seen == {
    "> 0.5": {"Arrow": ["high"], "polars": ["high", "NaN", "-NaN"], "LanceDB": ["high", "NaN"], "Vortex": ["high", "NaN"]},
    "< 0.5": {"Arrow": ["low", "-0", "0", "minus"], "polars": ["low", "-0", "0", "minus"],
              "LanceDB": ["low", "-NaN", "-0", "0", "minus"], "Vortex": ["low", "-NaN", "-0", "0", "minus"]},
    "= 0.0": {"Arrow": ["-0", "0"], "polars": ["-0", "0"], "LanceDB": ["-0", "0"], "Vortex": ["0"]},
    ">= 0.0": {"Arrow": ["high", "low", "-0", "0"], "polars": ["high", "low", "NaN", "-NaN", "-0", "0"],
               "LanceDB": ["high", "low", "NaN", "-0", "0"], "Vortex": ["high", "low", "NaN", "0"]},
}
PY
