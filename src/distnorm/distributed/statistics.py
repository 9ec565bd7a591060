"""Statistics of inputs on a cluster: the moments of each fragment, added up in their order.

    count = sum_f n_f,   sum = sum_f sum_{i in f} x_i,   ...        over fragments f

Only moments travel, of some KB each (d x d numbers for ``dn2``), never the rows; those of a bank
and of a sample do, to the machine that asked. The sample is the one that a local fit draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.arrays import CheckedRows, check_lengths, normalize
from distnorm.distributed.pieces import Piece, fetched, in_order, pieces
from distnorm.distributed.session import Session, connected
from distnorm.distributed.sources import Numbers, Vectors, open_vectors
from distnorm.distributed.sums import add_rows
from distnorm.errors import DistnormError
from distnorm.fitting import Fit, Inputs, Reading, Wanted, fit_inputs
from distnorm.moments import Moments
from distnorm.normalization import ScoreNormalization
from distnorm.store.layout import at_commit
from distnorm.store.rows import StoredRows
from distnorm.system.files import shared_name
from distnorm.system.progress import Progress

__all__ = ["RemoteRows", "fit", "open_remote"]

Rows = npt.NDArray[Any]


class RemoteRows:
    """Rows of one side that workers read; of a store its distinct pictures, or its texts."""

    embedded, failed, over_long = True, 0, 0

    def __init__(self, session: Session, name: str, side: str, reading: Reading) -> None:
        self.label, self._session, self._reading = name, session, reading
        self.vectors: Vectors = open_vectors(name, side, key=reading.keys.get(side))
        self._note: dict[str, Any] = {"name": shared_name(name)}
        self._numbers: Numbers | None = None
        if self.vectors.commit is not None:
            stored = at_commit(name, lambda commit: StoredRows(commit, side))
            self._note = stored.note()
            if len(stored) < len(self.vectors):
                self._numbers = np.asarray(stored.rows, dtype=np.int64)

    def __len__(self) -> int:
        """Rows that count."""
        return len(self.vectors) if self._numbers is None else len(self._numbers)

    def note(self) -> dict[str, Any]:
        """As `distnorm.fitting.inputs.Input.note`."""
        return self._note

    def take(self, chosen: npt.NDArray[np.intp] | None) -> Iterator[Rows]:
        """The chosen ones (sorted numbers), or all, in order; brought to this process."""
        numbers = self._numbers
        if chosen is not None:
            numbers = np.asarray(chosen if numbers is None else numbers[chosen], dtype=np.int64)
        yield from fetched(self._session, self.vectors, numbers, unit=self._reading.normalize)

    def moments(self, wanted: Wanted) -> Iterator[Moments]:
        """Moments of all rows, fragment by fragment."""
        if wanted.dimension not in (None, self.vectors.dimension):
            raise DistnormError(
                f"{wanted.name} of {self.vectors.dimension} dimensions in {self.label}",
                f"{wanted.dimension} dimensions",
                "use embeddings of one and the same model on both sides and in fit",
            )
        work = partial(_summed, self._reading.normalize, wanted)
        yield from in_order(self._session, pieces(self.vectors.fragments, self._numbers), work)


def fit(
    norm: ScoreNormalization,
    *,
    address: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    keys: dict[str, str] | None = None,
    normalize: bool = False,
    progress: Progress | None = None,
    **inputs: str | Sequence[str],
) -> Fit:
    """Fit a normalization on files of vectors that the workers of a cluster read.

    Parameters
    ----------
    norm : ScoreNormalization
        Unfitted; changed in place.
    address : str, optional
        Of the cluster, as of `connected`; a local one if left out.
    samples, seed : int, optional
        So many rows per side, the same as `distnorm.fitting.fit_inputs` draws.
    keys : mapping from side to str, optional
        Arrays or columns of files that hold several.
    normalize : bool
        Give rows unit length first.
    progress : callable, optional
        Called with (rows done, rows in all).
    **inputs
        Under each side's name or plural: paths as of `open_vectors`, which all workers reach.

    Returns
    -------
    Fit

    Raises
    ------
    DistnormError
        As of `open_vectors`, `connected` and `fit_inputs`.
    """
    named = {
        norm.names.resolve(side): [given] if isinstance(given, str) else list(given)
        for side, given in inputs.items()
    }
    with connected(address) as session:
        reading = Reading(keys or {}, normalize)
        opened = Inputs(
            {side: named[side] for side in norm.sides if side in named},
            model=norm.model,
            prompt=norm.prompt,
            reading=reading,
            opened=partial(open_remote, session),
        )
        return fit_inputs(norm, opened, samples=samples, seed=seed, progress=progress)


def open_remote(session: Session, name: str, side: str, reading: Reading) -> RemoteRows:
    """An input whose rows the workers of a session read, for `Inputs`."""
    return RemoteRows(session, name, side, reading)


def _summed(unit: bool, wanted: Wanted, piece: Piece) -> Moments:
    """Moments of a piece."""
    fragment, numbers = piece
    total = Moments(order=wanted.order, rank=wanted.rank)
    name = f"{wanted.name} of {fragment.place}"
    for first, block in fragment.blocks():
        rows, start = block, first - fragment.first + fragment.offset
        if numbers is not None:
            rows = block[numbers[(numbers >= first) & (numbers < first + len(block))] - first]
        if not len(rows):
            continue
        rows = normalize(rows) if unit else rows
        add_rows(total, rows, name, start)
        check_lengths(CheckedRows(rows, name), name, wanted.method, wanted.length)
    return total
