"""`Index`: a running index behind one front, searched by dot or normalized.

An adapter is an `Index` that translates what `System` asks for; see there. It also has a
constructor that takes what is open already, and a classmethod ``open(target, ...)``; the keywords
of both are its options in a spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distnorm.arrays import Array
from distnorm.errors import DistnormError
from distnorm.normalization import ScoreNormalization
from distnorm.search.indexes.arguments import side_of
from distnorm.search.indexes.biases import Upload, published, upload_bias
from distnorm.search.indexes.check import Check, check_index
from distnorm.search.indexes.ranking import Mode, Request, published_bias, search
from distnorm.search.indexes.stored import (
    ItemBiases,
    StoredBiases,
    drop_biases,
    item_biases,
    stored_biases,
)
from distnorm.search.indexes.system import System
from distnorm.system.progress import Progress

__all__ = ["Index"]


class Index(System):
    """A system's index: what it can serve, lists of its items, biases stored beside it.

    Attributes
    ----------
    system : str
        Its name in specs.
    place : str
        Which index this is, for messages.
    capabilities : Capabilities
        Unit, dimensions, exactness and limits.
    model : str or None
        Model of the stored rows where that is known.
    biases : BiasStore or None
        Where the biases of its items are kept.

    Notes
    -----
    What several methods take: ``query_side`` and ``item_side`` name the side of the queries and of
    the items; left out, queries are texts and items of the other side, and a normalization without
    a text side is refused. ``modality`` is another name of either. ``batch`` items are read at a
    time, and ``progress`` is called with (items done, items). Every method raises a DistnormError
    for a system that fails or does not answer.
    """

    def __reduce__(self) -> Any:
        """Refuse to be pickled: connections and files that are open stay in their process."""
        raise DistnormError(
            f"{type(self).__name__} for another process",
            "an index that is opened where it is used",
            "open it there: distnorm.open_index(SPEC)",
        )

    def __copy__(self) -> Index:
        """Another name for the same open index."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def search(
        self,
        queries: Array,
        k: int = 10,
        normalization: ScoreNormalization | None = None,
        mode: Mode | None = None,
        *,
        query_side: str | None = None,
        overfetch: int | None = None,
        certify: bool = False,
        filter: Any = None,
        fields: Sequence[str] = (),
        offset: int = 0,
        modality: str | None = None,
    ) -> Any:
        """The k best items of each query.

        Parameters
        ----------
        queries : array, shape (n, d)
            Unit rows of the model whose items are stored.
        k : int
            At least 1; all items if there are fewer.
        normalization : ScoreNormalization, optional
            A linear method shifts the queries; any other one that has an item bias needs
            `upload_bias` once.
        mode : {"dot", "normalized", "both"}, optional
            "normalized" with a normalization and "dot" without one, if left out: every call
            is free to go back to the raw scores.
        query_side, modality : str, optional
            See the class.
        overfetch : int, optional
            Items to fetch before ranking again by bias; the larger of 50 and 5 k where the linear
            part of the biases is stored, else of 100 and 10 k.
        certify : bool
            Fetch more, four times as many each time, until the list is surely the exact one.
            Only where the system compares with every item.
        filter : optional
            Which items may be found, in the system's own language: `filters` says what it takes.
        fields : sequence of str, optional
            What else to return of each item, in ``Found.fields``.
        offset : int
            Best items to leave out, for the pages after the first.

        Returns
        -------
        Found, or Both for mode "both"
            Best first; equal scores go to the lowest id.

        Raises
        ------
        DistnormError
            For unusable queries, another model's or an unfitted normalization, a missing bias.
        """
        side = "text"
        if normalization is not None and mode != "dot":
            side = side_of(normalization, query_side, modality, items=False)
        request = Request(side, k, offset, overfetch, certify, filter, fields)
        return search(self, queries, normalization, mode, request)

    def upload_bias(
        self,
        norm: ScoreNormalization,
        *,
        item_side: str | None = None,
        batch: int = 1000,
        progress: Progress | None = None,
        ids: Sequence[Any] | None = None,
        items: Array | None = None,
        fresh: bool = False,
        modality: str | None = None,
    ) -> Upload:
        """Store the bias of each item; run again, it goes on where it stopped.

        Parameters
        ----------
        norm : ScoreNormalization
            Of a method with an item bias that is no query shift.
        ids, items : sequence and array, shape (n, d), optional
            The stored rows, for a system that does not give them back.
        fresh : bool
            Compute all anew: after rows were embedded again under their old ids.
        item_side, batch, progress, modality
            See the class.

        Returns
        -------
        Upload

        Raises
        ------
        DistnormError
            For a method without an item bias or that needs none stored, or unusable rows; what was
            written by then is kept and stays out of sight until all is there.
        """
        side = side_of(norm, item_side, modality, items=True)
        return upload_bias(
            self, norm, side, batch=batch, progress=progress, ids=ids, items=items, fresh=fresh
        )

    def check(
        self,
        norm: ScoreNormalization | None = None,
        *,
        item_side: str | None = None,
        queries: Array | None = None,
        k: int = 10,
        batch: int = 1000,
        everything: bool = False,
        progress: Progress | None = None,
        modality: str | None = None,
    ) -> Check:
        """Go through the index once: what its rows are like, which lack a bias, whether it agrees.

        Parameters
        ----------
        norm : ScoreNormalization, optional
        queries : array, shape (n, d), optional
            Sample queries, to compare the index's lists with distnorm's own exact ones.
        k : int
            Length of those lists.
        everything : bool
            Compute all stored biases again, and not those of a thousand items.
        item_side, batch, progress, modality
            See the class.

        Returns
        -------
        Check

        Raises
        ------
        DistnormError
            As `search`.
        """
        side = "image" if norm is None else side_of(norm, item_side, modality, items=True)
        return check_index(
            self,
            norm,
            side,
            queries=queries,
            k=k,
            batch=batch,
            everything=everything,
            progress=progress,
        )

    def stored_biases(
        self,
        norm: ScoreNormalization | None = None,
        *,
        item_side: str | None = None,
        batch: int = 1000,
        progress: Progress | None = None,
    ) -> list[StoredBiases]:
        """What biases are stored, for which normalization, and how many items lack one.

        Parameters
        ----------
        norm : ScoreNormalization, optional
            To say which of them are this one's.
        item_side, batch, progress
            See the class.

        Returns
        -------
        list of StoredBiases
        """
        side = "image" if norm is None else side_of(norm, item_side, None, items=True)
        return stored_biases(self, norm, side, batch=batch, progress=progress)

    def published_biases(
        self, norm: ScoreNormalization | None = None, *, item_side: str | None = None
    ) -> tuple[str, ...]:
        """Names of the stored biases: of one normalization, which must have some, or of all.

        Raises
        ------
        DistnormError
            For a normalization without stored biases.
        """
        if norm is None:
            return tuple(sorted(published(self)))
        side = side_of(norm, item_side, None, items=True)
        return (published_bias(self, norm, norm.names.other(side))[0],)

    def drop_biases(self, *columns: str) -> None:
        """Remove biases, by the names that `stored_biases` gives.

        Raises
        ------
        DistnormError
            For a name that is not there, before anything is removed.
        """
        drop_biases(self, columns)

    def item_biases(
        self, norm: ScoreNormalization, items: Array, *, item_side: str | None = None
    ) -> ItemBiases:
        """Biases of items that are about to be added, for a job that writes them along.

        Parameters
        ----------
        norm : ScoreNormalization
            Whose biases of all other items are stored: `upload_bias`.
        items : array, shape (n, d)
            Rows as the index will keep them.
        item_side : str, optional
            See the class.

        Returns
        -------
        ItemBiases
            The numbers, ``norm.item_bias(images=items)``, and the name to write them under. What
            is stated of the lowest bias is lowered if need be, so that certified lists stay true.

        Raises
        ------
        DistnormError
            For unusable rows, a normalization without stored biases, or a method whose biases
            depend on all items.
        """
        return item_biases(self, norm, side_of(norm, item_side, None, items=True), items)
