#!/usr/bin/env bash
# ml_dtypes 0.6.0 with NumPy 2.4.0: NumPy's functions on bfloat16 scores, one of them NaN.
#
# Question: what do sort, median, nanmean, nanargmax, unique and mean of bfloat16 scores (what
#   `numpy.asarray` of a JAX array gives) return, beside the same scores in float16?
# Guess: the same: NaN is sorted last, the median is NaN, nanmean and nanargmax leave NaN out; the mean
#   of many is computed in float32, since that of float16 is, and the product `a @ b` of bfloat16 too.
# Seen: of 1,000 scores with one NaN, sort leaves the NaN in the middle and numbers out of order, unique
#   gives numbers twice, median is a number, nanmean is NaN, nanargmax is the place of the NaN. The mean of
#   100,000 times .1 is .00032 (the sum stops at 32). Nothing warns. `a @ b` is right, and float32.
# Consequence: cast to float32 before any NumPy function but `@`.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 ml_dtypes==0.6.0
"$folder/v/bin/python" - <<'PY'
import warnings

import ml_dtypes
import numpy as np

warnings.simplefilter("error")
scores = np.random.default_rng(0).normal(size=1_000)
scores[500] = np.nan
tenth, ones = np.full(100_000, 0.1), np.ones((1, 512))
seen = {}
for dtype in (np.float16, ml_dtypes.bfloat16):
    held = scores.astype(dtype)
    best = int(np.argsort(-np.nan_to_num(held.astype("f4"), nan=-np.inf), kind="stable")[0])
    ordered = np.sort(held).astype("f4")
    seen[dtype.__name__] = {
        "NaN sorted last": bool(np.isnan(ordered[-1])),
        "numbers in order": bool((np.diff(ordered[~np.isnan(ordered)]) >= 0).all()),
        "repeats left by unique": len(np.unique(held)) - len(set(held[~np.isnan(held)].tolist())) - 1,
        "median": float(np.median(held)),
        "nanmean": float(np.nanmean(held)),
        "nanargmax is the best": int(np.nanargmax(held)) == best,
        "mean of .1": round(float(np.mean(tenth.astype(dtype))), 5),
        "ones @ ones": float((ones.astype(dtype) @ ones.astype(dtype).T).item()),
    }
    print(dtype.__name__, seen[dtype.__name__])
half, brain = seen.values()
assert half["NaN sorted last"] and half["numbers in order"] and np.isnan(half["median"]) and half["nanargmax is the best"]
assert half["repeats left by unique"] == 0 and abs(half["nanmean"]) < 1 and abs(half["mean of .1"] - 0.1) < 1e-3
assert not (brain["NaN sorted last"] or brain["numbers in order"] or brain["nanargmax is the best"])
assert brain["repeats left by unique"] > 0 and np.isfinite(brain["median"]) and np.isnan(brain["nanmean"])
assert brain["mean of .1"] < 0.001 and half["ones @ ones"] == brain["ones @ ones"] == 512
PY
