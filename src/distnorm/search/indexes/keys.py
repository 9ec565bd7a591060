"""Names that biases lie under: a fingerprint of all that they rest on, and of nothing else.

A bias of an item is made of the method that serves the queries, its strength and parameters, the
statistics of the queries' side and, for methods that set a temperature, of the items' side. Which
of an item's vectors it is of counts too. Parameters at their defaults do not: a parameter that a
later version adds changes no name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from distnorm.arrays import to_numpy
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.normalization.correction import Correction

if TYPE_CHECKING:
    from distnorm.methods.statistics import SideStatistics
    from distnorm.search.indexes.system import System

__all__ = ["check_begun", "column_of", "earlier_column_of", "found_column"]

_MOMENTS = ("factor", "second", "sum", "totals")
_SETTINGS = (
    "chosen", "counts", "dimension", "input", "method", "model", "params", "prompt", "sides",
    "strength",
)  # fmt: skip


def column_of(norm: ScoreNormalization, side: str, of: str = "") -> str:
    """Name of the biases of ``side``'s items; ``of`` says of which of their vectors."""
    served = norm.correction(norm.names.other(side))
    return f"distnorm_bias_{_fingerprint(norm, served, side, of)}"


def earlier_column_of(norm: ScoreNormalization, side: str) -> str:
    """The name that biases were published under before it rested on scores alone."""
    digest = hashlib.sha256(f"{side} ".encode())
    settings = {key: value for key, value in norm.to_dict().items() if key in _SETTINGS}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for name in norm.sides:
        moments = norm.moments(name)
        for key, values in sorted(moments.to_arrays().items()) if moments else ():
            digest.update(f"{name}.{key}".encode() + np.ascontiguousarray(values).tobytes())
        for part in norm.statistics[name].bank or ():
            digest.update(np.ascontiguousarray(to_numpy(part)).tobytes())
    return f"distnorm_bias_{digest.hexdigest()[:10]}"


def found_column(
    system: System, norm: ScoreNormalization, side: str, published: Container[str]
) -> str:
    """The published name of biases, be it an earlier one, or else the name they would get.

    An earlier name does not say of which vector it is: it counts where items have one.
    """
    served = norm.correction(norm.names.other(side))
    kept = system.bias_names.get(side)
    if kept is None or kept[0] is not served:
        kept = system.bias_names[side] = (served, column_of(norm, side, system.bias_target))
    if kept[1] not in published and published and system.one_vector:
        earlier = earlier_column_of(norm, side)
        if earlier in published:
            return earlier
    return kept[1]


def check_begun(system: System, norm: ScoreNormalization, column: str) -> None:
    """Raise if numbers are there that no list says to be complete."""
    ids = list(system.seen[0])
    if system.biases is None or not ids or system.capabilities.bias_dimension:
        return
    there = 0
    # What cannot be read is none: the caller says that there are no biases.
    with suppress(DistnormError), system.plain_errors("read biases"):
        there = int(np.isfinite(system.biases.read(column, ids)).sum())
    if there:
        raise DistnormError(
            f"no stored bias of this {norm.method!r} normalization in {system.place} that a list "
            f"says to be complete ({there} of {len(ids)} items looked at have one): an upload was "
            "stopped, or another one at the same time replaced the list",
            "a complete upload",
            "run distnorm index bias SPEC --normalization FILE again: what is there stays",
        )


def _fingerprint(norm: ScoreNormalization, served: Correction, side: str, of: str) -> str:
    method, params = served.method, served.params
    defaults = method.params
    chosen = {key: value for key, value in params.items() if defaults.get(key) != value}
    digest = hashlib.sha256()
    settings = {"method": method.name, "strength": served.strength, "params": chosen, "of": of}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    _add(digest, "queries", norm.statistics[served.side])
    if method.scale_aware or not served.item_by_item:
        _add(digest, "items", norm.statistics[norm.names.resolve(side)], bank=False)
    return digest.hexdigest()[:32]


def _add(digest: Any, name: str, statistics: SideStatistics, *, bank: bool = True) -> None:
    moments = statistics.moments
    if moments.count:
        arrays = moments.to_arrays()
        digest.update(f"{name} {moments.count} ".encode())
        for key in _MOMENTS:
            if key in arrays:
                digest.update(f"{key} ".encode() + np.ascontiguousarray(arrays[key]).tobytes())
    for parts in (statistics.bank, statistics.weights) if bank else ():
        for part in parts or ():
            values = np.ascontiguousarray(to_numpy(part))
            digest.update(f"{values.dtype} {values.shape} ".encode() + values.tobytes())
