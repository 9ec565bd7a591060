#!/usr/bin/env bash
# ray 2.60.0 with pyarrow 26.0.1: aggregates of a column that holds a NaN; batches of a list column.
#
# Question 1: what are sum, mean, min and max of [1, NaN, 3], and of [1, missing, 3]?
# Guess: NaN passes through all four, as in NumPy and Arrow, and the missing value is left out of all.
# Seen: sum and mean of the column with NaN are None, as if there were nothing to add; min and max
#   leave the NaN out (1 and 3). The missing value is left out of all four.
# Question 2: is a `FixedSizeList<float, 4>` column one (n, 4) array in a NumPy batch, as a column is
#   that Ray itself made of a NumPy matrix?
# Guess: yes, all rows have the length that the type states.
# Seen: an object array of n arrays; the column made of a matrix is (n, 4) float32.
# Consequence: count NaN yourself before a mean, and take Arrow batches of vectors.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 pyarrow==26.0.1 "ray[data]==2.60.0"
export RAY_USAGE_STATS_ENABLED=0
"$folder/v/bin/python" - 2> "$folder/log" <<'PY' || { tail -20 "$folder/log"; exit 1; }
import logging

import numpy as np
import pyarrow as pa
import ray

ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, object_store_memory=100 << 20)
ray.data.DataContext.get_current().enable_progress_bars = False
columns = {"nan": pa.array([1.0, float("nan"), 3.0]), "missing": pa.array([1.0, None, 3.0])}
numbers = ray.data.from_arrow(pa.table(columns))
found = {
    name: (numbers.sum(name), numbers.mean(name), numbers.min(name), numbers.max(name)) for name in columns
}
rows = np.arange(12, dtype=np.float32).reshape(3, 4)
lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 4)
batches = [
    made.take_batch(3, batch_format="numpy")["v"]
    for made in (ray.data.from_arrow(pa.table({"v": lists})), ray.data.from_numpy(rows).rename_columns({"data": "v"}))
]
print(found, [(batch.dtype, batch.shape) for batch in batches])
ray.shutdown()
assert found["nan"] == (None, None, 1.0, 3.0) and found["missing"] == (4.0, 2.0, 1.0, 3.0)
assert batches[0].dtype == object and batches[0].shape == (3,)
assert batches[1].dtype == np.float32 and batches[1].shape == (3, 4)
PY
