"""Pictures and texts through an encoder into a store; stopped runs continue.

Pictures are decoded by threads ahead of the model. A picture that several rows share is encoded
once a shard. Rows that a store already has (same name, same content, same text) are left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distnorm.atomic import atomic_write
from distnorm.embedding.pictures import open_picture
from distnorm.embedding.sources import Item
from distnorm.embedding.writer import StoreWriter
from distnorm.errors import DistnormError

__all__ = ["Embedded", "embed"]

_SHARD = 4096


@dataclass(frozen=True)
class Embedded:
    """What a run did."""

    written: int
    known: int
    failed: int
    over_long: int
    store: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": 1, "task": "embed", **self.__dict__}


@dataclass(frozen=True)
class _Picture:
    pixels: Any
    digest: str
    size: tuple[int, int]


def embed(
    encoder: Any,
    items: Sequence[Item],
    folder: Path,
    *,
    model: str,
    batch_size: int = 64,
    shard_rows: int = _SHARD,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Embed items that a store lacks.

    Parameters
    ----------
    encoder : Encoder
    items : sequence of Item
        All with a picture, or all without; all with a text, or all without.
    folder : Path
        The store, new or begun.
    model : str
        Name that `load_encoder` takes, kept in the store.
    batch_size, shard_rows : int
    workers : int, optional
        Decoding threads; as many as processors if left out.
    progress : callable, optional
        Called with (items done, items in all).

    Returns
    -------
    Embedded
        Pictures that could not be read are listed with the reason in ``failed.jsonl``.

    Raises
    ------
    DistnormError
        For a store of another model, mixed items, or a full disk (what was written stays).
    """
    for what in ("path", "text"):
        given = sum(getattr(item, what) is not None for item in items)
        if given not in (0, len(items)):
            raise DistnormError(
                f"{given} of {len(items)} items with a {what}", "all or none", "split the source"
            )
    about = {"model": model, "model_id": encoder.model_id, "dimension": encoder.dimension}
    writer = StoreWriter(folder, about)
    known = {_key(row) for row in writer.rows()}
    written = already = done = 0
    failures: list[dict[str, str]] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for start in range(0, len(items), shard_rows):
            shard = items[start : start + shard_rows]
            kept: list[Item] = []
            metadata: list[dict[str, Any]] = []
            images: list[Any] = []
            for part in _batches(shard, batch_size):
                for item, picture in zip(part, _decoded(part, encoder, pool), strict=True):
                    if isinstance(picture, DistnormError):
                        failures.append({"path": item.name, "reason": picture.got})
                        continue
                    row = _metadata(item, picture)
                    if _key(row) in known:
                        already += 1
                        continue
                    known.add(_key(row))
                    kept.append(item)
                    metadata.append(row)
                    images.append(picture)
                done += len(part)
                if progress is not None:
                    progress(done, len(items))
            if kept:
                writer.append(_rows(encoder, kept, images, batch_size), metadata)
                written += len(kept)
    if failures:
        lines = "".join(json.dumps(failure) + "\n" for failure in failures)
        with atomic_write(folder / "failed.jsonl") as file:
            file.write(lines.encode())
    else:
        (folder / "failed.jsonl").unlink(missing_ok=True)
    texts = [item.text for item in items if item.text is not None]
    limit = encoder.max_tokens
    over_long = int((encoder.count_tokens(texts) > limit).sum()) if texts and limit else 0
    return Embedded(written, already, len(failures), over_long, str(folder))


def _rows(
    encoder: Any, items: Sequence[Item], pictures: Sequence[_Picture | None], batch_size: int
) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    if items[0].path is not None:
        distinct: dict[str, int] = {}
        pixels: list[Any] = []
        place: list[int] = []
        for picture in pictures:
            assert picture is not None
            if picture.digest not in distinct:
                distinct[picture.digest] = len(pixels)
                pixels.append(picture.pixels)
            place.append(distinct[picture.digest])
        parts = [
            encoder.encode_pixels(np.stack(pixels[at : at + batch_size]))
            for at in range(0, len(pixels), batch_size)
        ]
        unit = np.concatenate(parts).astype(np.float32)
        rows["image"] = (unit / np.linalg.norm(unit, axis=1, keepdims=True))[place]
    if items[0].text is not None:
        texts = [item.text or "" for item in items]
        # Texts of one length together: padding costs as much as words.
        order = np.argsort([len(text.split()) for text in texts], kind="stable")
        encoded = encoder.encode_texts([texts[at] for at in order], batch_size=4 * batch_size)
        rows["text"] = np.empty_like(encoded)
        rows["text"][order] = encoded
    return rows


def _decoded(items: Sequence[Item], encoder: Any, pool: ThreadPoolExecutor) -> Iterator[Any]:
    """Each item's picture, None without one, or the error; one reading for equal paths."""
    jobs: dict[Path, Future[Any]] = {}
    for item in items:
        if item.path is not None and item.path not in jobs:
            jobs[item.path] = pool.submit(_read, item.path, encoder.preprocess)
    for item in items:
        yield None if item.path is None else jobs[item.path].result()


def _read(path: Path, preprocess: Callable[[Any], Any]) -> _Picture | DistnormError:
    try:
        image, digest = open_picture(path)
    except DistnormError as error:
        if isinstance(error, ImportError):
            raise
        return error
    return _Picture(preprocess(image), digest, image.size)


def _metadata(item: Item, picture: _Picture | None) -> dict[str, Any]:
    row: dict[str, Any] = {"path": item.name if item.path is not None else None}
    row["caption"] = item.text
    if picture is None:
        digest = hashlib.sha256((item.text or "").encode()).hexdigest()
        return {**row, "width": None, "height": None, "hash": digest}
    width, height = picture.size
    return {**row, "width": width, "height": height, "hash": picture.digest}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["path"], row["caption"], row["hash"]


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
