"""Kernels compile for real cards, and fit into their shared memory: no GPU is needed for that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Run by itself: here Triton interprets.
COMPILE = """
import sys
from types import SimpleNamespace
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from distnorm.device import kernels
from distnorm.device.operations import tile_for

capability, room = map(int, sys.argv[1:])


def compiled(kernel, types, tile=None, /, **constants):
    options = {"num_warps": 4, "num_stages": 3, "enable_fp_fusion": True}
    if tile is not None:
        constants |= tile.options
    options |= {name: constants.pop(name) for name in list(constants) if name in options}
    names = kernel.arg_names
    types = dict(zip([name for name in names if name not in constants], types.split(), strict=True))
    signature = {name: types.get(name, "constexpr") for name in names}
    places = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, places)
    target = GPUTarget("cuda", capability, 32)
    shared = triton.compile(source, target=target, options=options).metadata.shared
    assert shared <= room, (kernel.__name__, constants, shared)


card = SimpleNamespace(shared_memory_per_block_optin=room)
there = SimpleNamespace(device=torch.device("cuda"))
products = "*fp16 *fp16 *fp32 *fp32 *fp32 i32 i32 i32"
with mock.patch.object(torch.cuda, "get_device_properties", return_value=card):
    few, some, many = (tile_for(there, n) for n in (9, 50, 1000))
for tile, d in ((few, 512), (some, 512), (many, 512), (many, 33)):
    common = {"D": d, "BAND": 8}
    compiled(kernels.group_maxima, products, tile, G=32, HAS_BIAS=True, KEEP=False, **common)
compiled(kernels.group_maxima, products, many, G=8, HAS_BIAS=False, KEEP=True, **common)
# A number that is 1 becomes a constant.
one = "*fp16 *fp16 *fp32 *fp32 *fp32 i32"
compiled(kernels.group_maxima, one, few, n=1, m=1, G=8, HAS_BIAS=True, KEEP=True, **common)
sums = "*fp16 *fp16 *fp32 *fp32 *fp64 i32 i32 fp32"
compiled(kernels.exponential_sums, sums, many, D=512, HAS_MORE=True)
for kind in ("*fp16 *fp32", "*bf16 *bf16", "*fp64 *fp64"):
    pairs = f"{kind} *fp64 *i64 *fp64 i32 i32 i32 i32 i32 i32 i32"
    compiled(kernels.pair_scores, pairs, D=500, G=32, BK=128, HAS_BIAS=True)
for kind, d, wide, rows in (("*fp16", 512, 512, 16), ("*fp32", 5, 8, 512), ("*bf16", 900, 1024, 8)):
    compiled(kernels.row_sums, f"{kind} *fp32 *fp32 i32 i32", D=d, BD=wide, BR=rows, ROWS=512)
"""


@pytest.mark.parametrize(
    ("capability", "room"), [(80, 166912), (89, 101376), (90, 232448), (100, 232448)]
)
def test_kernels_compile_for(capability, room, tmp_path):
    pytest.importorskip("torch", reason="says what a card has")
    pytest.importorskip("triton", minversion="3.3", reason="compiles")
    known = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE, str(capability), str(room)],
        env=known | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
