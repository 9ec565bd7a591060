#!/usr/bin/env bash
# ONNX Runtime 1.32.0 (CPU): ArgMax and TopK beside a NaN.
#
# Question: where does a NaN stand for ArgMax, and do ArgMax and TopK with k = 1 agree?
# Guess: they agree; NaN wins in both, as in NumPy and torch.
# Seen: TopK lists the NaN first wherever it stands. ArgMax returns the NaN if it comes first, and the
#   largest number if the NaN comes later: one value decides by its place.
# Consequence: a classifier exported with ArgMax gives class 0 or a plausible class for one and the same fault.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q numpy==2.4.0 onnx==1.23.2 onnxruntime==1.32.0
"$folder/v/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h

graph = h.make_graph(
    [h.make_node("ArgMax", ["x"], ["a"], axis=1, keepdims=0), h.make_node("TopK", ["x", "k"], ["v", "i"])],
    "g",
    [h.make_tensor_value_info("x", T.FLOAT, [1, 4])],
    [h.make_tensor_value_info("a", T.INT64, [1]), h.make_tensor_value_info("i", T.INT64, [1, 1])],
    [h.make_tensor("k", T.INT64, [1], [1])],
)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)])
model.ir_version = 9
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
seen = []
for row in ([np.nan, 1, 2, 3], [1, 2, np.nan, 3]):
    best, first = session.run(None, {"x": np.array([row], "f4")})
    seen.append((int(best[0]), int(first[0, 0])))
    print(row, "ArgMax", seen[-1][0], "TopK", seen[-1][1])
assert seen == [(0, 0), (3, 2)]
PY
