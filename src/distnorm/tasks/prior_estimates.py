"""How often each class comes, estimated from scores of unlabelled images: two opposite corrections.

For n images with weights w_j (their sum is W), scores s_jc with c classes and a temperature t, the
posteriors under classes that come alike are P_jc = softmax_c(s_jc / t), and

    balance   every class comes as often: the bias v that minimises
              sum_j w_j log sum_c exp(s_jc / t - v_c) + (W / c) sum_c v_c + (RIDGE / 2) |v|^2,
              so that all mean posteriors are even, as far as the ridge lets it
    shift     they come as they come: EM for pi (Saerens, Latinne, Decaestecker 2002), from even
              ones, r_jc = pi_c P_jc / sum_k pi_k P_jk,   pi_c = (sum_j w_j r_jc + a) / (W + c a),
              a = PSEUDO of a Dirichlet prior. Posteriors that are not calibrated let EM end with a
              few classes, so it stops after `ROUNDS`

Bias of a class, to be subtracted from its score: half of t v_c, or of -t log(c pi_c), as of the
other biases here. In full, both gain more where they hold and lose more where they do not.

t is the spread of the scores over the classes, over `SHARPNESS`: .006 for CLIP on ImageNet, sharper
than it was trained with, as EM on soft posteriors gives images of rare classes to frequent ones.
"""

from __future__ import annotations

import numpy as np

from distnorm.arrays import Float32, Float64, Floats

__all__ = ["balance_bias", "posteriors", "shift_bias", "temperature_of"]


STRENGTH = 0.5
SHARPNESS = 5.0
RIDGE = 1.0
PSEUDO = 0.5
ROUNDS = 4

_STEPS, _CLOSE = 200, 1e-3


def temperature_of(scores: Floats) -> float:
    """The t of scores, (n, c); 1 where they do not differ."""
    spread = float(np.asarray(scores).std(axis=1, dtype=np.float64).mean())
    return spread / SHARPNESS if spread > 0 else 1.0


def posteriors(scores: Floats, temperature: float) -> Float32:
    """P under classes that come alike, (n, c)."""
    logits = scores / temperature
    logits -= logits.max(axis=1, keepdims=True)
    found = np.exp(logits, dtype=np.float32, casting="same_kind")
    found /= found.sum(axis=1, keepdims=True)
    return np.asarray(found, dtype=np.float32)


def balance_bias(found: Float32, weights: Float64) -> Float64:
    """The bias v of posteriors, (n, c): in units of t, (c,)."""
    wanted = float(weights.sum()) / found.shape[1]
    v = np.zeros(found.shape[1])
    for _ in range(_STEPS):
        factor = np.exp(-v)
        each = found @ factor.astype(np.float32)
        mean = factor * (found.T @ (weights / each).astype(np.float32))
        # Newton's step with the diagonal of the curvature, which is at most mean + RIDGE.
        step = (mean - wanted - RIDGE * v) / (mean + RIDGE)
        v += np.clip(step, -1, 1)
        if np.abs(step).max() < _CLOSE:
            break
    return v


def shift_bias(found: Float32, weights: Float64) -> Float64:
    """-log(c pi) of posteriors, (n, c): in units of t, (c,)."""
    c = found.shape[1]
    total = float(weights.sum())
    share = np.full(c, 1 / c)
    for _ in range(ROUNDS):
        each = found @ share.astype(np.float32)
        counts = share * (found.T @ (weights / each).astype(np.float32)).astype(np.float64)
        share = (counts + PSEUDO) / (total + c * PSEUDO)
    return np.asarray(-np.log(c * share))
