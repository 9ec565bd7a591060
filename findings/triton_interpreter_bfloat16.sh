#!/usr/bin/env bash
# triton 3.9.0 with torch 2.13.0 on a CPU, TRITON_INTERPRET=1: bfloat16.
#
# Question: the interpreter's documentation says that operations on bfloat16 are not supported: does it
#   refuse them, and are casts and comparisons (which need no arithmetic) right?
# Guess: arithmetic raises; a cast rounds to nearest even as on the device; a maximum is right.
# Seen: nothing raises. 1.01171875 becomes 1.0078125 (bits cut off; torch: 1.015625); argmax of -1, -2, -3, -4
#   gives 3, the smallest; the sum of 1, 2, 3, 4 is 6e-39 (bit patterns are handled as integers). float16 is right.
# Consequence: kernels can be tested without a device in float16 and float32 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/v"
"$folder/v/bin/pip" install -q torch==2.13.0 triton==3.9.0 numpy==2.4.0
cat > "$folder/try.py" <<'PY'
import torch
import triton
import triton.language as tl


@triton.jit
def cast(x, out, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, tl.load(x + at).to(tl.bfloat16))


@triton.jit
def place(x, out, N: tl.constexpr):
    tl.store(out, tl.argmax(tl.load(x + tl.arange(0, N)), axis=0))


@triton.jit
def total(x, out, N: tl.constexpr):
    tl.store(out, tl.sum(tl.load(x + tl.arange(0, N)), axis=0))


numbers = torch.tensor([1.01171875, 1.00390625, 2.0, 4.0])
rounded = torch.zeros(4, dtype=torch.bfloat16)
cast[(1,)](numbers, rounded, 4)
print("cast", rounded[0].item(), "torch", numbers.bfloat16()[0].item())
assert rounded[0].item() == 1.0078125 and numbers.bfloat16()[0].item() == 1.015625
seen = {}
for dtype in (torch.float16, torch.bfloat16):
    at, added = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=dtype)
    place[(1,)](torch.tensor([-1.0, -2.0, -3.0, -4.0], dtype=dtype), at, 4)
    total[(1,)](torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype), added, 4)
    seen[dtype] = (at.item(), added.item())
print("place of the largest, sum", seen)
assert seen[torch.float16] == (0, 10.0)
assert seen[torch.bfloat16][0] == 3 and seen[torch.bfloat16][1] != 10.0
PY
TRITON_INTERPRET=1 "$folder/v/bin/python" "$folder/try.py"
