"""Where statistics come from: the methods, draws and rows of one comparison.

held-out      a random share of the images, with all their texts, gives the statistics; the
              rest is evaluated; many splits
paper         100 unlabelled images and 100 texts of other images give the statistics, all the
              rest is evaluated; 5 draws (Zhou et al. 2023)
reference     statistics from ``fit_images`` and ``fit_texts``; everything is evaluated
transductive  statistics from the evaluated data itself; results carry that word
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, check_embeddings
from distnorm.comparison.splits import Split, draw_splits
from distnorm.errors import DistnormError
from distnorm.methods.registry import parse_method
from distnorm.normalization import ScoreNormalization
from distnorm.normalization.factories import make

__all__ = [
    "DEFAULT_METHODS",
    "PROTOCOLS",
    "describe",
    "draws",
    "method_norms",
    "reference_rows",
    "sample_rows",
    "take_rows",
]

DEFAULT_METHODS = ("dot", "dn", "dn*", "dn2", "is", "nnn")
PROTOCOLS = {"held-out": 20, "paper": 5, "reference": 1, "transductive": 1}


def method_norms(
    methods: Sequence[str], strength: float | Mapping[str, float] | None, input: str | None
) -> list[ScoreNormalization]:
    """One unfitted normalization a method, the dot product first."""
    if isinstance(methods, str):
        methods = methods.split(",")
    parsed = [parse_method(text) for text in methods]
    if ("dot", None, {}) in parsed:
        parsed.remove(("dot", None, {}))
    fixed = [make("dot", input=input)]
    for name, own, params in parsed:
        if name == "dot" and own is not None:
            raise DistnormError("a strength for 'dot'", "none", "write 'dot', or 'dn' with it")
        if own is None and name != "auto":
            own = strength  # type: ignore[assignment]
        norm = make(name, strength=own, input=input, **params)
        # Compared as settled, so that dn and dn@0.5 count as the same.
        settings = [(n.method, n.strength, n.params) for n in fixed]
        if name == "dot" or (norm.method, norm.strength, norm.params) in settings:
            raise DistnormError(f"method {name!r} twice", "each once", "drop one")
        fixed.append(norm)
    return fixed


def describe(
    protocol: str, fit_fraction: float, repeats: int | None, seed: int, samples: int
) -> dict[str, Any]:
    """The protocol as results state it."""
    if protocol not in PROTOCOLS:
        raise DistnormError(f"protocol {protocol!r}", f"one of {', '.join(PROTOCOLS)}", "rename it")
    if not isinstance(fit_fraction, numbers.Real) or not 0 < fit_fraction < 1:
        raise DistnormError(f"fit_fraction {fit_fraction!r}", "a number between 0 and 1", "try 0.5")
    for name, value, least in (("repeats", repeats, 1), ("samples", samples, 1), ("seed", seed, 0)):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not (whole and value >= least) and not (name == "repeats" and value is None):
            raise DistnormError(
                f"{name} = {value!r}", f"an integer from {least} on", f"give {name} >= {least}"
            )
    fixed = protocol in ("reference", "transductive")
    described: dict[str, Any] = {
        "statistics": protocol,
        "repeats": 1 if fixed else int(repeats or PROTOCOLS[protocol]),
        "seed": int(seed),
    }
    if protocol == "held-out":
        described["fit_fraction"] = float(fit_fraction)
    if protocol == "paper":
        described["samples"] = int(samples)
    return described


def reference_rows(
    fit_images: Array | None, fit_texts: Array | None, protocol: str, dimension: int
) -> dict[str, Array]:
    """Checked reference data by keyword; empty if there is none."""
    given = {"images": fit_images, "texts": fit_texts}
    rows = {
        side: check_embeddings(x, f"fit_{side}", dimension=dimension)
        for side, x in given.items()
        if x is not None
    }
    if len(rows) == 1 or (protocol == "reference" and not rows):
        raise DistnormError(
            f"reference data of {len(rows)} sides", "fit_images and fit_texts", "give both"
        )
    if rows and protocol == "transductive":
        raise DistnormError("reference data", "none under 'transductive'", "leave it out")
    return rows


def draws(
    images: Array, texts: Array, owner: Any, described: dict[str, Any], reference: dict[str, Array]
) -> Iterator[tuple[Split, dict[str, Array]]]:
    """Pairs of (what is evaluated, rows the statistics come from)."""
    protocol, repeats, seed = described["statistics"], described["repeats"], described["seed"]
    if protocol in ("held-out", "paper") and not reference:
        splits = draw_splits(
            owner,
            images.shape[0],
            repeats=repeats,
            seed=seed,
            fit_fraction=described.get("fit_fraction"),
            samples=described.get("samples"),
        )
        for split in splits:
            yield (
                split,
                {
                    "images": take_rows(images, split.fit_images),
                    "texts": take_rows(texts, split.fit_texts),
                },
            )
        return
    none = np.zeros(0, dtype=np.intp)
    every = Split(none, none, np.arange(images.shape[0]), np.arange(texts.shape[0]), owner)
    for child in np.random.SeedSequence(seed).spawn(repeats):
        rows = reference or {"images": images, "texts": texts}
        if protocol == "paper":
            rng = np.random.default_rng(child)
            rows = {
                side: sample_rows(x, described["samples"], rng, side) for side, x in rows.items()
            }
        yield every, rows


def take_rows(x: Array, rows: npt.NDArray[np.intp]) -> Array:
    """Some rows of an array of any library."""
    if isinstance(x, np.ndarray):
        return np.asarray(x[rows])
    return x[rows.tolist()]


def sample_rows(x: Array, samples: int, rng: np.random.Generator, side: str) -> Array:
    """So many rows drawn without replacement, in their order."""
    if samples > x.shape[0]:
        raise DistnormError(
            f"{x.shape[0]} rows of fit_{side}", f"at least {samples} samples", "lower --samples"
        )
    return take_rows(x, np.sort(rng.choice(x.shape[0], samples, replace=False)))
