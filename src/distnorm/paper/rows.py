"""Embeddings of pictures and texts through stores, so that nothing is encoded twice.

A store a model, data set, kind of picture row and kind of text: what is there is read, what is
missing is embedded by `distnorm.embedding.embed`, which continues a stopped run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.embedding import Item, embed
from distnorm.encoders.base import unit_rows
from distnorm.errors import DistnormError
from distnorm.paper.encoding import RawEncoder, ViewEncoder, raw_rows
from distnorm.store.columns import read_names
from distnorm.store.failures import failure_reason
from distnorm.store.layout import METADATA, Commit
from distnorm.store.vectors import read_embeddings

__all__ = ["TTA_VIEWS", "RowCache", "step_progress"]

TTA_VIEWS = ("identity", "flip", "five-crop")
_FEW = 256

Progress = Callable[[str, int, int], None]


@dataclass
class RowCache:
    """Rows of one model.

    Parameters
    ----------
    encoder : Encoder
    model : str
        Name that `load_encoder` takes.
    folder : Path
        Of all stores.
    root : Path
        Pictures below it go by their path from there, so that moved data stay known.
    views : sequence of str
        Of ``tta``.
    options : dict
        ``batch_size`` and ``workers`` of `embed`.
    progress : callable, optional
        Called with (what, done, in all).
    """

    encoder: Any
    model: str
    folder: Path
    root: Path = Path()
    views: Sequence[str] = TTA_VIEWS
    options: dict[str, Any] = field(default_factory=dict)
    progress: Progress | None = None

    def place(self, dataset: str, kind: str) -> Path:
        """Folder of a store."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model)
        return self.folder / slug / re.sub(r"[^A-Za-z0-9._-]+", "-", dataset) / kind

    def images(
        self, dataset: str, paths: Sequence[Path], *, augment: str = "none", raw: bool = False
    ) -> npt.NDArray[Any]:
        """Unit or raw rows of pictures, in their order.

        Parameters
        ----------
        dataset : str
        paths : sequence of Path
        augment : {"none", "tta"}
        raw : bool

        Raises
        ------
        DistnormError
            If a picture cannot be read.
        """
        inner = self.encoder
        kind = "images"
        if augment == "tta":
            inner = ViewEncoder(self.encoder, self.views)
            kind = "images-tta-" + "-".join(self.views).replace(":", "")
        encoder = RawEncoder(inner) if raw else inner
        names = [self.name(path) for path in paths]
        items = [Item(name, str(path), None) for name, path in zip(names, paths, strict=True)]
        rows = self._rows(dataset, kind + ("-raw" if raw else ""), "image", names, items, encoder)
        return raw_rows(rows) if raw else unit_rows(rows)

    def texts(self, dataset: str, texts: Sequence[str], *, raw: bool = False) -> npt.NDArray[Any]:
        """Unit or raw rows of texts, in their order; equal texts are encoded once."""
        encoder = RawEncoder(self.encoder) if raw else self.encoder
        items = [Item(text, None, text) for text in texts]
        kind = "texts-raw" if raw else "texts"
        rows = self._rows(dataset, kind, "text", list(texts), items, encoder)
        return raw_rows(rows) if raw else unit_rows(rows)

    def name(self, path: Path) -> str:
        """What a store calls a picture."""
        full, root = path.resolve(), self.root.resolve()
        return (full.relative_to(root) if full.is_relative_to(root) else full).as_posix()

    def _rows(
        self,
        dataset: str,
        kind: str,
        side: str,
        names: list[str],
        items: list[Item],
        encoder: Any,
    ) -> npt.NDArray[Any]:
        store = self.place(dataset, kind)
        known = self._known(store, side, encoder)
        wanted = list(
            {
                name: item for name, item in zip(names, items, strict=True) if name not in known
            }.items()
        )
        if wanted:
            views = getattr(getattr(encoder, "inner", encoder), "views", 1)
            store.parent.mkdir(parents=True, exist_ok=True)
            options = dict(self.options)
            if options.get("workers") is None and len(wanted) <= _FEW:
                # Starting decoders takes longer than a few pictures do.
                options["workers"] = 0
            embed(
                encoder,
                [item for _, item in wanted],
                store,
                model=self.model,
                # As other evaluations do, and views are cut out of all pixels.
                full=True,
                shard_rows=max(64, 4096 // max(views, getattr(encoder, "views", 1))),
                progress=step_progress(self.progress, f"{dataset}: {kind}"),
                **options,
            )
            known = self._known(store, side, encoder)
        missing = next((name for name in names if name not in known), None)
        if missing is not None:
            reason = failure_reason(store, missing)
            raise DistnormError(
                f"{missing}, which cannot be embedded" + (f" ({reason})" if reason else ""),
                "a readable picture",
                "get it again",
            )
        rows = read_embeddings(store, side)
        return np.asarray(rows[[known[name] for name in names]])

    def _known(self, store: Path, side: str, encoder: Any) -> dict[str, int]:
        """Row of each name that the store has."""
        commit = Commit.read(store)
        if not commit.files(METADATA):
            return {}
        if commit.model_id != encoder.model_id:
            raise DistnormError(
                f"{store} with rows of {commit.model_id!r}",
                f"rows of {encoder.model_id!r}",
                "name another --stores, or remove it",
            )
        return {name: row for row, name in enumerate(read_names(commit, side))}


def step_progress(progress: Progress | None, what: str) -> Callable[[int, int | None], None] | None:
    """A progress of (done, in all) that says what is done."""
    if progress is None:
        return None

    def report(done: int, total: int | None) -> None:
        progress(what, done, done if total is None else total)

    return report
