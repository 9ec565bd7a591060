#!/usr/bin/env bash
# sentence-transformers 6.2.0 and mteb 2.26.24 (torch 2.13.0): dot products of int8 embeddings.
#
# Question: `model.encode(..., precision="int8")` returns int8 rows; what does `util.dot_score`, the
#   library's own scorer, make of them?
# Guess: the integer dot product, 384 * 100 * 100 = 3840000, as NumPy gives after a cast, or an error.
# Seen: util.dot_score 0 (int8, wrapped around), util.pairwise_dot_score 6144 (each product wrapped,
#   the sum not), mteb's dot_score 3840000. util.cos_sim refuses int8.
# Consequence: cast int8 rows to float32 before any score of sentence-transformers.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q torch==2.13.0 sentence-transformers==6.2.0 mteb==2.26.24
"$folder/v/bin/python" - <<'PY'
import numpy as np
from mteb import similarity_functions
from sentence_transformers import util

row = np.full((1, 384), 100, np.int8)
dot = util.dot_score(row, row)
pair = util.pairwise_dot_score(row, row)
other = similarity_functions.dot_score(row, row)
print("dot_score", dot.item(), dot.dtype, "pairwise", pair.item(), "mteb", other.item())
assert dot.item() == 0 and str(dot.dtype) == "torch.int8"
assert pair.item() == 6144
assert other.item() == 3840000
try:
    util.cos_sim(row, row)
except RuntimeError as error:
    print("cos_sim:", str(error).splitlines()[0])
else:
    raise SystemExit("cos_sim takes int8 now")
PY
