"""Embeddings of pictures and texts through stores, so that nothing is encoded twice.

One store per model, data set, kind of picture row and kind of text: what is in it is read, what is
missing is embedded by `distnorm.embedding.embed`, which continues a stopped run. Rows are float32:
half precision changes Kendall's tau in the fourth place, as it makes ties and breaks them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from distnorm.store.layout import METADATA, Commit, at_commit
from distnorm.store.vectors import open_embeddings
from distnorm.store.writer import tidy
from distnorm.system.progress import OpenProgress, StepProgress

__all__ = ["TTA_VIEWS", "RowCache", "step_progress"]

TTA_VIEWS = ("identity", "flip", "five-crop")
_FEW = 256
_DTYPE = "float32"


@dataclass
class RowCache:
    """Rows of one model, in stores below ``folder``; ``options`` are those of `embed`.

    Pictures below ``root`` go by their path from there, so that moved data keep their rows.
    """

    encoder: Any
    model: str
    folder: Path
    root: Path = Path()
    views: Sequence[str] = TTA_VIEWS
    options: dict[str, Any] = field(default_factory=dict)
    progress: StepProgress | None = None

    def place(self, dataset: str, kind: str) -> Path:
        """Folder of a store."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model)
        return self.folder / slug / re.sub(r"[^A-Za-z0-9._-]+", "-", dataset) / kind

    def images(
        self, dataset: str, paths: Sequence[Path], *, augment: str = "none", raw: bool = False
    ) -> npt.NDArray[Any]:
        """Unit or raw rows of pictures, in their order; ``augment`` is "none" or "tta"."""
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
        self, dataset: str, kind: str, side: str, names: list[str], items: list[Item], encoder: Any
    ) -> npt.NDArray[Any]:
        store = self.place(dataset, f"{kind}-{_DTYPE}")
        tidy(store)
        stored, rows = self._stored(store, side, encoder)
        new = {n: item for n, item in zip(names, items, strict=True) if n not in stored}
        if new:
            views = getattr(getattr(encoder, "inner", encoder), "views", 1)
            store.parent.mkdir(parents=True, exist_ok=True)
            options = dict(self.options)
            if options.get("workers") is None and len(new) <= _FEW:
                # Starting decoders takes longer than a few pictures do.
                options["workers"] = 0
            embed(
                encoder,
                list(new.values()),
                store,
                model=self.model,
                # As other evaluations do, and views are cut out of all pixels.
                full=True,
                dtype=_DTYPE,
                shard_rows=max(64, 4096 // max(views, getattr(encoder, "views", 1))),
                progress=step_progress(self.progress, f"{dataset}: {kind}"),
                **options,
            )
            stored, rows = self._stored(store, side, encoder)
        missing = next((name for name in names if name not in stored), None)
        if missing is not None:
            reason = failure_reason(store, missing)
            raise DistnormError(
                f"{missing}, which cannot be embedded" + (f" ({reason})" if reason else ""),
                "a readable picture",
                "get it again",
            )
        return np.asarray(rows[[stored[name] for name in names]])

    def _stored(self, store: Path, side: str, encoder: Any) -> tuple[dict[str, int], Any]:
        """Row of each name that the store has, and the rows."""
        return at_commit(store, lambda commit: self._rows_of(commit, side, encoder))

    def _rows_of(self, commit: Commit, side: str, encoder: Any) -> tuple[dict[str, int], Any]:
        if not commit.files(METADATA):
            return {}, None
        if commit.model_id != encoder.model_id:
            raise DistnormError(
                f"{commit.folder} with rows of {commit.model_id!r}",
                f"rows of {encoder.model_id!r}",
                "name another --stores, or remove it",
            )
        places = {name: row for row, name in enumerate(read_names(commit, side))}
        return places, open_embeddings(commit, side)


def step_progress(progress: StepProgress | None, step: str) -> OpenProgress | None:
    """A progress of (done, in all) that names its step."""
    if progress is None:
        return None

    def report(done: int, total: int | None) -> None:
        progress(step, done, done if total is None else total)

    return report
