"""A store in the clip-retrieval layout, written shard by shard so that a crash loses none.

Shard i is ``img_emb/img_emb_i.npy``, ``text_emb/text_emb_i.npy`` (float16 unit rows) and
``metadata/metadata_i.parquet``. The metadata file is written last: a shard without it does not
count and is overwritten by the next run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distnorm.atomic import atomic_write
from distnorm.errors import DistnormError, require

__all__ = ["StoreWriter"]

_PARTS = {"image": ("img_emb", "img_emb"), "text": ("text_emb", "text_emb")}


class StoreWriter:
    """Append whole shards to a store.

    Parameters
    ----------
    folder : Path
        New, or a store of the same model.
    about : mapping
        ``model``, ``model_id`` and ``dimension``, kept in ``store.json``.

    Raises
    ------
    DistnormError
        If the folder holds something else or another model's rows.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self._parquet = require("pyarrow.parquet", "embed")
        self._arrow = require("pyarrow", "embed")
        marker = folder / "store.json"
        if marker.exists():
            known = json.loads(marker.read_text("utf-8"))
            if known.get("model_id") != about["model_id"]:
                raise DistnormError(
                    f"{folder} with rows of {known.get('model_id')!r}",
                    f"rows of {about['model_id']!r}",
                    "name another --out",
                )
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DistnormError(f"{folder}, which is no store", "a new folder", "rename --out")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metadata").mkdir(exist_ok=True)
        self._about = {"schema": 1, **about, "normalized": True, "dtype": "float16"}
        self._shards = sorted(int(p.stem.rpartition("_")[2]) for p in self._metadata_files())
        self._drop_halves()
        if not marker.exists():
            self._write_marker()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Metadata of every stored row."""
        for shard in self._shards:
            path = self.folder / "metadata" / f"metadata_{shard}.parquet"
            yield from self._parquet.read_table(path).to_pylist()

    def append(
        self, rows: Mapping[str, npt.NDArray[Any]], metadata: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write one shard; it counts when this returns, or not at all."""
        number = self._shards[-1] + 1 if self._shards else 0
        for side, x in rows.items():
            folder, stem = _PARTS[side]
            (self.folder / folder).mkdir(exist_ok=True)
            with atomic_write(self.folder / folder / f"{stem}_{number}.npy") as file:
                np.save(file, np.asarray(x, dtype=np.float16))
        table = self._arrow.Table.from_pylist([dict(row) for row in metadata])
        with atomic_write(self.folder / "metadata" / f"metadata_{number}.parquet") as file:
            self._parquet.write_table(table, file)
        self._shards.append(number)

    def _metadata_files(self) -> list[Path]:
        return sorted((self.folder / "metadata").glob("metadata_*.parquet"))

    def _drop_halves(self) -> None:
        """Remove shards that a killed run began, and temporary files."""
        for folder, stem in _PARTS.values():
            for path in (self.folder / folder).glob(f"{stem}_*.npy"):
                if int(path.stem.rpartition("_")[2]) not in self._shards:
                    path.unlink()
        for path in self.folder.glob("*/.*.tmp"):
            path.unlink()

    def _write_marker(self) -> None:
        with atomic_write(self.folder / "store.json") as file:
            file.write((json.dumps(self._about, indent=1) + "\n").encode())
