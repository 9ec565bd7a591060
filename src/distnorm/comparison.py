"""Every method side by side, with statistics from data that is not evaluated.

Protocols:

held-out      a random share of the images, with all their texts, gives the statistics; the
              rest is evaluated; many splits
paper         100 unlabelled images and 100 texts of other images give the statistics, all the
              rest is evaluated; 5 draws (Zhou et al. 2023)
reference     statistics from ``fit_images`` and ``fit_texts``; everything is evaluated
transductive  statistics from the evaluated data itself; results carry that word

All methods see the same splits. A method's difference to the dot product is the mean over
splits; its interval is a paired bootstrap over images. Splits of one data set overlap, so
their standard error would be far too narrow: instead each query's difference is averaged over
the splits that evaluated it, and images (with all their texts) are drawn with replacement.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import Array, check_embeddings, to_numpy
from distnorm.bootstrap import paired_intervals
from distnorm.diagnostics import diagnose
from distnorm.errors import DistnormError
from distnorm.factories import make
from distnorm.methods import parse_method
from distnorm.metrics import check_k
from distnorm.normalization import ScoreNormalization
from distnorm.splits import Split, draw_splits
from distnorm.tasks.retrieval import DIRECTIONS, evaluate_retrieval, pairing

__all__ = [
    "DEFAULT_METHODS",
    "PROTOCOLS",
    "Comparison",
    "MethodResult",
    "MetricSummary",
    "compare_retrieval",
    "deduplicate_images",
]

DEFAULT_METHODS = ("dot", "dn", "dn*", "dn2", "is", "nnn")
PROTOCOLS = {"held-out": 20, "paper": 5, "reference": 1, "transductive": 1}

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one method over the splits.

    ``std`` is over splits (0 for one); ``delta`` is the mean difference to the dot product and
    ``delta_ci95`` its bootstrap interval, None where a metric has none (median ranks).
    """

    mean: float
    std: float
    delta: float
    delta_ci95: tuple[float, float] | None

    @property
    def significant(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.delta_ci95 is not None and (self.delta_ci95[0] > 0 or self.delta_ci95[1] < 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = None if self.delta_ci95 is None else list(self.delta_ci95)
        return {
            "mean": self.mean,
            "std": self.std,
            "delta": self.delta,
            "delta_ci95": interval,
            "significant": self.significant,
        }


@dataclass(frozen=True)
class MethodResult:
    """One method's metrics and everything that affects its ranking."""

    method: str
    strength: dict[str, float]
    params: dict[str, Any]
    n_fit: dict[str, int]
    transductive: bool
    metrics: dict[str, MetricSummary]

    def __repr__(self) -> str:
        """One line with recall@1 both ways."""
        first = ", ".join(f"{k}={v.mean:.3f}" for k, v in self.metrics.items() if k.endswith("@1"))
        return f"MethodResult({self.method!r}, {first})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "strength": dict(self.strength),
            "params": dict(self.params),
            "n_fit": dict(self.n_fit),
            "transductive": self.transductive,
            "metrics": {name: summary.to_dict() for name, summary in self.metrics.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """All methods on one data set; `to_dict` is the JSON of ``distnorm compare``."""

    n_images: int
    n_texts: int
    protocol: dict[str, Any]
    results: tuple[MethodResult, ...]
    diagnostics: dict[str, Any] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """One line: data, protocol, methods."""
        names = ", ".join(result.method for result in self.results)
        return (
            f"Comparison({self.n_images} images, {self.n_texts} texts, "
            f"{self.protocol['statistics']}, methods: {names})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, schema 1."""
        return {
            "schema": 1,
            "task": "retrieval",
            "n_images": self.n_images,
            "n_texts": self.n_texts,
            "protocol": dict(self.protocol),
            "results": [result.to_dict() for result in self.results],
            "diagnostics": self.diagnostics,
        }


def compare_retrieval(
    images: Array,
    texts: Array,
    image_of_text: Any = None,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    protocol: str = "held-out",
    fit_fraction: float = 0.5,
    repeats: int | None = None,
    seed: int = 0,
    samples: int = 100,
    fit_images: Array | None = None,
    fit_texts: Array | None = None,
    k: int | Sequence[int] = (1, 5, 10),
    strength: float | Mapping[str, float] | None = None,
    input: str | None = None,
    diagnostics: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare methods on retrieval in both directions.

    Parameters
    ----------
    images, texts : array, shape (n_images, d) and (n_texts, d)
    image_of_text : int array, shape (n_texts,), optional
        Row of each text's image; row with row if left out.
    methods : sequence of str
        Names, each optionally with strength and parameters as `parse_method` reads them. The
        dot product is always there.
    protocol : {"held-out", "paper", "reference", "transductive"}
    fit_fraction : float in (0, 1)
        Share of the images that gives statistics (held-out).
    repeats : int, optional
        Splits; 20 held-out, 5 paper, else 1.
    seed : int
    samples : int
        Rows a side that give statistics (paper).
    fit_images, fit_texts : array, optional
        Statistics of other data: the protocol is then "reference", or "paper" if asked for
        (samples drawn from them).
    k : int or sequence of int
    strength : float or mapping, optional
        For every method that has none in its name.
    input : {"unit", "raw", "any"}, optional
        See `ScoreNormalization`.
    diagnostics : bool
        Also hubness, gap and the ladder of approximations, on the first split.
    progress : callable, optional
        Called with (evaluations done, evaluations in all).

    Raises
    ------
    DistnormError
        For input that cannot be compared or split.
    """
    images = check_embeddings(images, "images")
    texts = check_embeddings(texts, "texts", dimension=images.shape[1])
    ks = check_k(k)
    truth = pairing(image_of_text, images.shape[0], texts.shape[0])
    owner = truth.indices
    truth.transposed()
    norms = _norms(methods, strength, input)
    if fit_images is not None or fit_texts is not None:
        protocol = "reference" if protocol == "held-out" else protocol
    described = _describe(protocol, fit_fraction, repeats, seed, samples)
    reference = _reference(fit_images, fit_texts, protocol, images.shape[1])
    runs = _runs(images, texts, owner, described, reference)
    # Sums over splits, not the splits themselves: memory does not grow with repeats, and as all
    # methods see the same splits, differences of averages are averages of differences.
    hits: list[dict[str, Float64]] = [{} for _ in norms]
    seen = {"text_retrieval": np.zeros(images.shape[0]), "image_retrieval": np.zeros(len(owner))}
    plain: list[dict[str, list[float]]] = [{} for _ in norms]
    counts: list[dict[str, int]] = [{} for _ in norms]
    found: dict[str, Any] | None = None
    flagged = [False] * len(norms)
    total = len(norms) * int(described["repeats"])
    for number, (split, fit_rows) in enumerate(runs):
        left, right = _rows(images, split.images), _rows(texts, split.texts)
        fitted = [norm.clone().fit(**fit_rows) for norm in norms]
        placed = {"text_retrieval": split.images, "image_retrieval": split.texts}
        for direction in DIRECTIONS:
            seen[direction][placed[direction]] += 1
        for index, norm in enumerate(fitted):
            result = evaluate_retrieval(norm, left, right, split.image_of_text, k=ks)
            flagged[index] |= result.transductive or protocol == "transductive"
            counts[index] = norm.counts
            for name, value in result.metrics.items():
                plain[index].setdefault(name, []).append(value)
            for direction in DIRECTIONS:
                for value in ks:
                    key = f"{direction}_recall@{value}"
                    total_hits = hits[index].setdefault(key, np.zeros(len(seen[direction])))
                    total_hits[placed[direction]] += result.ranks[direction] <= value
            if progress is not None:
                progress(number * len(norms) + index + 1, total)
        if number == 0 and diagnostics:
            found = diagnose(
                fitted,
                left,
                right,
                fit_rows,
                image_of_text=split.image_of_text,
                rows=(split.images, split.texts),
            )
    child = np.random.SeedSequence(described["seed"]).spawn(int(described["repeats"]) + 1)[-1]
    table = [{name: [_average(name, total, seen)] for name, total in each.items()} for each in hits]
    intervals = paired_intervals(table, owner, images.shape[0], np.random.default_rng(child))
    results = []
    for index, norm in enumerate(norms):
        summaries = {}
        for name, values in plain[index].items():
            base = np.array(plain[0][name])
            array = np.array(values)
            summaries[name] = MetricSummary(
                float(array.mean()),
                float(array.std(ddof=1)) if len(array) > 1 else 0.0,
                float((array - base).mean()),
                intervals[index].get(name),
            )
        results.append(
            MethodResult(
                norm.method, norm.strength, norm.params, counts[index], flagged[index], summaries
            )
        )
    return Comparison(images.shape[0], texts.shape[0], described, tuple(results), found)


def deduplicate_images(images: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """Distinct rows of an image matrix that repeats each image for every caption.

    Parameters
    ----------
    images : array, shape (n_texts, d)
        Row i is the image of text i.

    Returns
    -------
    images : array, shape (n_images, d)
        Distinct rows in order of first appearance.
    image_of_text : ndarray of int, shape (n_texts,)
    """
    images = check_embeddings(images, "images")
    host = np.ascontiguousarray(to_numpy(images))
    _, first, inverse = np.unique(host, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return _rows(images, first[order]), position[inverse.ravel()]


def _norms(
    methods: Sequence[str], strength: float | Mapping[str, float] | None, input: str | None
) -> list[ScoreNormalization]:
    if isinstance(methods, str):
        methods = methods.split(",")
    parsed = [parse_method(text) for text in methods]
    if ("dot", None, {}) in parsed:
        parsed.remove(("dot", None, {}))
    fixed = [make("dot", input=input)]
    for name, own, params in parsed:
        if name == "dot" and own is not None:
            raise DistnormError("a strength for 'dot'", "none", "write 'dot', or 'dn' with it")
        norm = make(name, strength=strength if own is None else own, input=input, **params)
        # Compared as settled, so that dn and dn@0.5 count as the same.
        settings = [(n.method, n.strength, n.params) for n in fixed]
        if name == "dot" or (norm.method, norm.strength, norm.params) in settings:
            raise DistnormError(f"method {name!r} twice", "each once", "drop one")
        fixed.append(norm)
    return fixed


def _describe(
    protocol: str, fit_fraction: float, repeats: int | None, seed: int, samples: int
) -> dict[str, Any]:
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


def _reference(
    fit_images: Array | None, fit_texts: Array | None, protocol: str, dimension: int
) -> dict[str, Array]:
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


def _runs(
    images: Array, texts: Array, owner: Any, described: dict[str, Any], reference: dict[str, Array]
) -> Any:
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
                    "images": _rows(images, split.fit_images),
                    "texts": _rows(texts, split.fit_texts),
                },
            )
        return
    none = np.zeros(0, dtype=np.intp)
    every = Split(none, none, np.arange(images.shape[0]), np.arange(texts.shape[0]), owner)
    for child in np.random.SeedSequence(seed).spawn(repeats):
        rows = reference or {"images": images, "texts": texts}
        if protocol == "paper":
            rng = np.random.default_rng(child)
            rows = {side: _sample(x, described["samples"], rng, side) for side, x in rows.items()}
        yield every, rows


def _sample(x: Array, samples: int, rng: np.random.Generator, side: str) -> Array:
    if samples > x.shape[0]:
        raise DistnormError(
            f"{x.shape[0]} rows of fit_{side}", f"at least {samples} samples", "lower --samples"
        )
    return _rows(x, np.sort(rng.choice(x.shape[0], samples, replace=False)))


def _rows(x: Array, rows: npt.NDArray[np.intp]) -> Array:
    if isinstance(x, np.ndarray):
        return np.asarray(x[rows])
    return x[rows.tolist()]


def _average(name: str, total: Float64, seen: Mapping[str, Float64]) -> Float64:
    """Each query's share of hits over the splits that evaluated it; NaN where none did."""
    count = seen[name.partition("_recall@")[0]]
    share: Float64 = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return share
