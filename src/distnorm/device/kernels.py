"""Kernels in Triton: products of which only what is wanted of them reaches memory.

All read rows that are contiguous unless strides are named, and count elements in 64 bits. Items
come in tiles of BN; in each, group r holds the columns r, r + W, r + 2 W ... with W = BN / G, so
that a maximum is taken within a thread. Where d is no multiple of BK the rest is read as zeros.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["exponential_sums", "group_maxima", "pair_scores", "row_sums"]


@triton.jit
def group_maxima(
    Q,  # (n, D) half
    X,  # (m, D) half
    BIAS,  # (m,) float32
    MAXIMA,  # (n, groups) float32
    SCORES,  # (n, m) float32, if KEEP
    n,
    m,
    groups,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    G: tl.constexpr,
    BAND: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    KEEP: tl.constexpr,
):
    """The largest q . x - bias of each group, (n, groups), groups past the end -inf."""
    program = tl.program_id(0)
    tall, wide = tl.cdiv(n, BM), tl.cdiv(m, BN)
    # Bands of BAND tiles of queries run through all items together: these stay in the cache.
    band = program // (BAND * wide)
    first = band * BAND
    size = min(tall - first, BAND)
    at = program - band * (BAND * wide)
    pm = first + at % size
    pn = at // size
    rows = pm * BM + tl.arange(0, BM)
    columns = pn * BN + tl.arange(0, BN)
    row = tl.where(rows < n, rows, 0).to(tl.int64)
    column = tl.where(columns < m, columns, 0).to(tl.int64)
    k = tl.arange(0, BK)
    q = Q + row[:, None] * D + k[None, :]
    x = X + column[None, :] * D + k[:, None]
    scores = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, D, BK):
        if D % BK == 0:
            left = tl.load(q)
            right = tl.load(x)
        else:
            left = tl.load(q, mask=(k < D - start)[None, :], other=0.0)
            right = tl.load(x, mask=(k < D - start)[:, None], other=0.0)
        scores = tl.dot(left, right, scores)
        q += BK
        x += BK
    if HAS_BIAS:
        scores -= tl.load(BIAS + column)[None, :]
    if KEEP:
        inside = (rows < n)[:, None] & (columns < m)[None, :]
        place = SCORES + rows.to(tl.int64)[:, None] * m + columns.to(tl.int64)[None, :]
        tl.store(place, scores, mask=inside)
    scores = tl.where((columns < m)[None, :], scores, float("-inf"))
    best = tl.max(tl.reshape(scores, (BM, G, BN // G)), axis=1)
    group = pn * (BN // G) + tl.arange(0, BN // G)
    place = MAXIMA + rows.to(tl.int64)[:, None] * groups + group.to(tl.int64)[None, :]
    tl.store(place, best, mask=(rows < n)[:, None] & (group < groups)[None, :])


@triton.jit
def pair_scores(
    Q,  # (n, D) of any precision
    X,  # (m, D) of any precision
    BIAS,  # (m,) float64
    GROUPS,  # (n, taken) int64
    SCORES,  # (n, taken * G) float64
    m,
    taken,
    width,  # W
    q_row,  # strides
    q_column,
    x_row,
    x_column,
    D: tl.constexpr,
    G: tl.constexpr,
    BK: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """Scores q . x - bias in float64 of all members of some groups of each query."""
    program = tl.program_id(0).to(tl.int64)
    i = program // taken
    group = tl.load(GROUPS + program)
    item = (group // width) * width * G + group % width + tl.arange(0, G).to(tl.int64) * width
    row = tl.where(item < m, item, 0)
    k = tl.arange(0, BK)
    sums = tl.zeros((G, BK), dtype=tl.float64)
    for start in range(0, D, BK):
        inside = k < D - start
        column = (start + k).to(tl.int64)
        q = tl.load(Q + i * q_row + column * q_column, mask=inside, other=0.0).to(tl.float64)
        place = X + row[:, None] * x_row + column[None, :] * x_column
        x = tl.load(place, mask=inside[None, :], other=0.0).to(tl.float64)
        sums += x * q[None, :]
    score = tl.sum(sums, axis=1)
    if HAS_BIAS:
        score -= tl.load(BIAS + row)
    score = tl.where(item < m, score, float("-inf"))
    tl.store(SCORES + program * G + tl.arange(0, G), score)


@triton.jit
def exponential_sums(
    X,  # (n, D) half
    B,  # (m, D) half
    LESS,  # (n,) float32
    MORE,  # (m,) float32
    SUMS,  # (n,) float64
    n,
    m,
    factor,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    HAS_MORE: tl.constexpr,
):
    """Sum over j of 2 ** (factor x . b_j - less(x) + more(b_j)), (n,)."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    row = tl.where(rows < n, rows, 0).to(tl.int64)
    less = tl.load(LESS + row)
    k = tl.arange(0, BK)
    total = tl.zeros((BM,), dtype=tl.float64)
    for first in range(0, m, BN):
        columns = first + tl.arange(0, BN)
        column = tl.where(columns < m, columns, 0).to(tl.int64)
        x = X + row[:, None] * D + k[None, :]
        b = B + column[None, :] * D + k[:, None]
        scores = tl.zeros((BM, BN), dtype=tl.float32)
        for start in range(0, D, BK):
            if D % BK == 0:
                left = tl.load(x)
                right = tl.load(b)
            else:
                left = tl.load(x, mask=(k < D - start)[None, :], other=0.0)
                right = tl.load(b, mask=(k < D - start)[:, None], other=0.0)
            scores = tl.dot(left, right, scores)
            x += BK
            b += BK
        scores = scores * factor - less[:, None]
        if HAS_MORE:
            scores += tl.load(MORE + column)[None, :]
        terms = tl.where((columns < m)[None, :], tl.exp2(scores), 0.0)
        total += tl.sum(terms, axis=1).to(tl.float64)
    tl.store(SUMS + rows, total, mask=rows < n)


@triton.jit
def row_sums(
    X,  # (n, D), half or single
    COLUMNS,  # (programs, D) float32
    SQUARES,  # (n,) float32
    n,
    stride,  # of a row
    D: tl.constexpr,
    BD: tl.constexpr,
    BR: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Sums of ROWS rows each, and the squared length of every row."""
    program = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BD)
    # Added up by place: across threads once, at the end.
    totals = tl.zeros((BR, BD), dtype=tl.float32)
    for start in range(0, ROWS, BR):
        row = program * ROWS + start + tl.arange(0, BR)
        inside = (row < n)[:, None] & (column < D)[None, :]
        x = tl.load(X + row[:, None] * stride + column[None, :], mask=inside, other=0.0)
        x = x.to(tl.float32)
        totals += x
        tl.store(SQUARES + row, tl.sum(x * x, axis=1), mask=row < n)
    tl.store(COLUMNS + program * D + column, tl.sum(totals, axis=0), mask=column < D)
