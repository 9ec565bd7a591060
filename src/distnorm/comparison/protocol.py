"""`Protocol`: everything that travels together through a comparison.

held-out      a random share of the images, with all their texts, gives the statistics; the
              rest is evaluated; many splits
paper         100 unlabelled images and 100 texts of other images give the statistics, all the
              rest is evaluated; 5 draws (Zhou et al. 2023)
reference     statistics from ``fit_images`` and ``fit_texts``; everything is evaluated
transductive  statistics from the evaluated data itself; results carry that word
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.methods.registry import parse_method
from distnorm.normalization import ScoreNormalization, make
from distnorm.tasks.shared_rows import SharedRows, is_transductive

__all__ = ["DEFAULT_METHODS", "PROTOCOLS", "Protocol", "method_norms"]

DEFAULT_METHODS = ("dot", "dn", "dn*", "ridge", "dn2", "is", "nnn", "auto")
PROTOCOLS = {"held-out": 20, "paper": 5, "reference": 1, "transductive": 1}


_MOST_REPEATS = 10_000


@dataclass(frozen=True)
class Protocol:
    """Which methods are compared, and where their statistics come from.

    Parameters
    ----------
    statistics : {"held-out", "paper", "reference", "transductive"}
        "held-out" with ``fit_images`` is "reference".
    fit_fraction : float in (0, 1)
        Share of the images that gives statistics (held-out).
    repeats : int, optional
        Splits; 20 held-out, 5 paper if left out, always 1 for the others.
    seed : int
    samples : int
        Rows per side that give statistics (paper).
    methods : sequence of str
        Names, each optionally with strength and parameters as `distnorm.make` takes them:
        ``"dn2@0.5"``, ``"nnn:k=16"``. The dot product is always there.
    strength : float or mapping, optional
        For every method that has none in its name.
    input : {"unit", "raw", "any"}, optional
        See `ScoreNormalization`.
    sides : tuple of two str
        What images and texts are called, as in `distnorm.make`.
    fit_images, fit_texts : array, optional
        Statistics of other data: all of it ("reference"), or samples of it ("paper").
    prompt : str, optional
        How the texts were worded, printed with the results.
    prior : {"none", "balance", "shift", "auto"}
        Of classes, for every method that names none; the dot product is there without it, too.

    Raises
    ------
    DistnormError
        For an unknown protocol or method, a method that is there twice, or a number out of range.

    Examples
    --------
    >>> Protocol("paper", seed=3).to_dict()
    {'statistics': 'paper', 'repeats': 5, 'seed': 3, 'samples': 100}
    """

    statistics: str = "held-out"
    fit_fraction: float = 0.5
    repeats: int | None = None
    seed: int = 0
    samples: int = 100
    methods: Sequence[str] = DEFAULT_METHODS
    strength: float | Mapping[str, float] | None = None
    input: str | None = None
    fit_images: Array | None = field(default=None, repr=False, compare=False)
    fit_texts: Array | None = field(default=None, repr=False, compare=False)
    prompt: str | None = None
    sides: tuple[str, str] = ("image", "text")
    prior: str = "none"
    norms: tuple[ScoreNormalization, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every setting; settle methods and statistics."""
        if self.statistics not in PROTOCOLS:
            expected = f"one of {', '.join(PROTOCOLS)}"
            raise DistnormError(f"protocol {self.statistics!r}", expected, "rename it")
        share = self.fit_fraction
        if not isinstance(share, numbers.Real) or not 0 < share < 1:
            raise DistnormError(f"fit_fraction {share!r}", "a number between 0 and 1", "try 0.5")
        for name, least in (("repeats", 1), ("samples", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not (whole and value >= least) and not (name == "repeats" and value is None):
                raise DistnormError(
                    f"{name} = {value!r}", f"an integer from {least} on", f"give {name} >= {least}"
                )
        if self.repeats is not None and self.repeats > _MOST_REPEATS:
            raise DistnormError(
                f"repeats = {self.repeats}", f"at most {_MOST_REPEATS} splits", "20 are usual"
            )
        if self.fit_images is not None and self.statistics == "held-out":
            object.__setattr__(self, "statistics", "reference")
        norms = method_norms(self.methods, self.strength, self.input, self.sides, self.prior)
        object.__setattr__(self, "norms", tuple(norms))

    @classmethod
    def of(cls, protocol: str | Protocol, **settings: Any) -> Protocol:
        """A protocol from its name and settings, or one with some settings replaced."""
        if isinstance(protocol, Protocol):
            return replace(protocol, **settings) if settings else protocol
        return cls(protocol, **settings)

    @property
    def splits(self) -> int:
        """How often methods are fitted and evaluated."""
        if self.statistics in ("reference", "transductive"):
            return 1
        return int(self.repeats or PROTOCOLS[self.statistics])

    @property
    def transductive(self) -> bool:
        """Whether statistics come from the evaluated rows."""
        return self.statistics == "transductive"

    def is_transductive(self, shared: SharedRows) -> bool:
        """Whether evaluated rows were fitted: by plan, or by other data that holds them.

        Splits part items: an equal row in both halves is of another item, and only counted.
        """
        return self.transductive or (self.fit_images is not None and is_transductive(shared))

    def to_dict(self) -> dict[str, Any]:
        """Where statistics came from, as results state it."""
        described: dict[str, Any] = {
            "statistics": self.statistics,
            "repeats": self.splits,
            "seed": int(self.seed),
        }
        if self.statistics == "held-out":
            described["fit_fraction"] = float(self.fit_fraction)
        if self.statistics == "paper":
            described["samples"] = int(self.samples)
        if tuple(self.sides) != ("image", "text"):
            described["sides"] = list(self.sides)
        if self.prompt is not None:
            described["prompt"] = self.prompt
        if self.prior != "none":
            described["prior"] = self.prior
        return described


def method_norms(
    methods: Sequence[str],
    strength: float | Mapping[str, float] | None = None,
    input: str | None = None,
    sides: tuple[str, str] = ("image", "text"),
    prior: str = "none",
) -> list[ScoreNormalization]:
    """One unfitted normalization per method, the dot product first."""
    if isinstance(methods, str):
        methods = methods.split(",")
    if not isinstance(methods, Iterable):
        raise DistnormError(f"methods = {methods!r}", "names of methods", "e.g. ['dn', 'nnn']")
    parsed = [parse_method(text) for text in methods]
    if ("dot", None, {}) in parsed:
        parsed.remove(("dot", None, {}))
    if prior != "none":
        parsed = [("dot", None, {}), *parsed]
        parsed = [(name, own, {"prior": prior, **params}) for name, own, params in parsed]
    norms = [make("dot", sides=sides, input=input)]
    for name, own, params in parsed:
        if name == "dot" and own is not None:
            raise DistnormError("a strength for 'dot'", "none", "write 'dot', or 'dn' with it")
        if own is None and name != "auto":
            own = strength  # type: ignore[assignment]
        norm = make(name, strength=own, sides=sides, input=input, **params)
        # Compared as settled, so that dn and dn@0.5 count as the same.
        settings = [(n.method, n.strength, n.settings) for n in norms]
        if (norm.method, norm.strength, norm.settings) in settings:
            raise DistnormError(f"method {name!r} twice", "each once", "drop one")
        norms.append(norm)
    return norms
