"""The query shift for programs without distnorm: its vector and the lines that apply it.

A method that changes the query alone subtracts one and the same vector from every query,

    q' = q - shift,     shift = strength * direction,     shape (d,)

so any language serves it. q must be as long as the queries that gave the statistics, of unit
length as a rule, and q' is not normalised again: a cosine index does that itself, and an inner
product index would give other scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import side_of
from distnorm.text import plain

__all__ = ["FORMATS", "Shift", "export_shift"]


@dataclass(frozen=True)
class Shift:
    """What is subtracted from every query of a side.

    Attributes
    ----------
    vector : ndarray of float32, shape (d,)
    method, strength, side
        What gave it, and whose queries it is for.
    model, prompt : str or None
        Of the statistics, where they are known.
    unit : bool
        Whether the queries that gave it were of unit length.
    """

    vector: npt.NDArray[np.float32]
    method: str
    strength: float
    side: str
    model: str | None
    prompt: str | None
    unit: bool = True

    @classmethod
    def of(cls, norm: ScoreNormalization, query_side: str | None = None) -> Shift:
        """The shift for queries of a side, texts if left out.

        Raises
        ------
        DistnormError
            For a method that does not change the query alone, the dot product, or a side that
            has no statistics.
        """
        side = side_of(norm, query_side, None, items=False)
        correction = norm.correction(side)
        if not correction.shifts_queries:
            method = correction.method
            biased = method.has_item_bias
            remedy = "distnorm index bias SPEC --normalization FILE stores them beside an index"
            raise DistnormError(
                f"{norm.method!r}, which "
                + ("has a number per item and no shift of the query" if biased else "is no shift"),
                "a method that changes the query alone (dn, dn*, ridge)",
                remedy if biased else "fit one of these",
            )
        if not norm.spec.corrects or not correction.strength:
            raise DistnormError(
                f"{norm.method!r} at strength {correction.strength:g}, which changes no query",
                "a method that does (dn, dn*, ridge)",
                "send queries as they are",
            )
        vector, moments = correction.strength * correction.direction, norm.moments(side)
        return cls(
            np.asarray(vector, dtype=np.float32),
            correction.method.name,
            correction.strength,
            side,
            norm.model,
            norm.prompt,
            moments is None or bool(moments.unit_length),
        )

    @property
    def about(self) -> str:
        """One line of text: what it is, of which model."""
        return plain(
            f"{self.method}@{self.strength:g} for {self.side} queries, {len(self.vector)} "
            f"dimensions; model: {self.model or 'not stated'}; "
            f"prompt: {self.prompt or 'not stated'}"
        )

    @property
    def lengths(self) -> str:
        """One line of text: how long queries are."""
        own = "of unit length" if self.unit else "as the model gives it, not normalised"
        return f"q is {own}, as the statistics were; do not normalise the result."


def export_shift(norm: ScoreNormalization, format: str, query_side: str | None = None) -> str:
    """The shift and the lines that apply it, in one language.

    Parameters
    ----------
    norm : ScoreNormalization
        Of a method that changes the query alone: dn, dn*, ridge, or auto that chose one.
    format : {"json", "sql", "js", "go"}
        JSON for any program, SQL for pgvector, an ECMAScript module, a Go file.
    query_side : str, optional
        Whose queries; texts if left out.

    Returns
    -------
    str
        Text that ends with a newline.

    Raises
    ------
    DistnormError
        As `Shift.of`, or for an unknown format.

    Examples
    --------
    >>> import numpy as np
    >>> import distnorm
    >>> norm = distnorm.make("dn").fit(texts=np.eye(2, dtype="float32"))
    >>> print(export_shift(norm, "js"))  # doctest: +ELLIPSIS
    // distnorm dn@0.5 for text queries, 2 dimensions; ...
    // q is of unit length, as the statistics were; do not normalise the result.
    const shift = Float32Array.from([0.25, 0.25]);
    export const shiftQuery = (q) => Float32Array.from(q, (x, i) => x - shift[i]);
    <BLANKLINE>
    """
    if format not in FORMATS:
        raise DistnormError(f"format {format!r}", f"one of {', '.join(FORMATS)}", "pick one")
    return FORMATS[format](Shift.of(norm, query_side))


def _numbers(shift: Shift) -> str:
    """Shortest decimals that are the same float32."""
    return ", ".join(np.format_float_positional(value, trim="-") for value in shift.vector)


def _json(shift: Shift) -> str:
    found: dict[str, Any] = {
        "schema": 1,
        "method": shift.method,
        "strength": shift.strength,
        "query_side": shift.side,
        "dimension": len(shift.vector),
        "model": shift.model,
        "prompt": shift.prompt,
        "apply": [
            "take q of unit length" if shift.unit else "take q as the model gives it",
            "search with q - shift",
            "do not normalise it again",
        ],
    }
    head = json.dumps(found, indent=1, ensure_ascii=True)
    return f'{head[:-2]},\n "shift": [{_numbers(shift)}]\n}}\n'


def _sql(shift: Shift) -> str:
    vector = f"'[{_numbers(shift).replace(' ', '')}]'::vector"
    return (
        f"-- distnorm {shift.about}\n"
        f"-- {shift.lengths} $1 is q; <=> and <-> order unit rows alike.\n"
        "SELECT id FROM items\n"
        f"ORDER BY embedding <#> ($1::vector - {vector})\n"
        "LIMIT 10;\n"
    )


def _js(shift: Shift) -> str:
    return (
        f"// distnorm {shift.about}\n"
        f"// {shift.lengths}\n"
        f"const shift = Float32Array.from([{_numbers(shift)}]);\n"
        "export const shiftQuery = (q) => Float32Array.from(q, (x, i) => x - shift[i]);\n"
    )


def _go(shift: Shift) -> str:
    return (
        "package distnorm\n\n"
        f"// distnorm {shift.about}\n"
        f"var shift = [...]float32{{{_numbers(shift)}}}\n\n"
        f"// ShiftQuery gives the query to search with. {shift.lengths}\n"
        "func ShiftQuery(q []float32) []float32 {\n"
        "\tshifted := make([]float32, len(shift))\n"
        "\tfor i, x := range shift {\n\t\tshifted[i] = q[i] - x\n\t}\n"
        "\treturn shifted\n}\n"
    )


FORMATS: dict[str, Callable[[Shift], str]] = {"json": _json, "sql": _sql, "js": _js, "go": _go}
