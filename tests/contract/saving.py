"""How ``files/`` was made, by revision 7858e80 and never again: `record.py files` refuses.

It stands here to be read. Where a state of an interrupted run is saved, it reaches into the package
as it was laid out then; nothing that the tests run imports it.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import distnorm
from contract.cases import inside
from contract.commands import run
from contract.inputs import pairs, unit
from contract.results import card_of, found_in, plain, results_of

__all__ = ["save_files"]

# Stores note where their pictures lie as an absolute path: one that says nothing of a machine.
_WORKSHOP = Path("/tmp/contract")


def save_files(target: Path) -> None:
    """Make the folder."""
    shutil.rmtree(_WORKSHOP, ignore_errors=True)
    _WORKSHOP.mkdir()
    with inside(_WORKSHOP):
        rows = _rows()
        np.savez_compressed("rows.npz", **rows)
        _normalizations(rows)
        _stores()
        _indexes(rows)
        _watches(rows)
        for lock in Path().rglob(".lock"):
            lock.unlink()
    shutil.move(str(_WORKSHOP), target)


def _rows() -> dict[str, np.ndarray]:
    raw = dict(zip(("image", "text"), pairs(24, 8, 1), strict=True))
    rows = {f"raw_{side}": x for side, x in raw.items()}
    rows |= {side: unit(x) for side, x in raw.items()}
    for word, n, seed in (("queries", 4, 2), ("items", 7, 3), ("more", 24, 4)):
        for side, x in zip(("image", "text"), pairs(n, 8, seed), strict=True):
            rows |= {f"{side}_{word}": unit(x), f"raw_{side}_{word}": x}
    return rows


def _normalizations(rows: dict[str, np.ndarray]) -> None:
    folder = Path("normalizations")
    folder.mkdir()
    both = {"images": rows["image"], "texts": rows["text"]}
    raw = {"images": rows["raw_image"], "texts": rows["raw_text"]}
    more = {"images": rows["image_more"], "texts": rows["text_more"]}
    norms: dict[str, Any] = {}
    for method, spec in distnorm.METHODS.items():
        given = raw if spec.input == "raw" else both
        norms[method.replace("*", "-star")] = distnorm.make(method).fit(**given)
    norms["auto"].choose()
    uneven = {"image": 0.25, "text": 0.5}
    for name, method, options in (
        ("dn-uneven", "dn", {"strength": uneven}),
        ("dn-of-a-model", "dn", {"model": "open_clip:ViT-B-32/openai", "prompt": "a photo of {}."}),
        ("dn2-rank", "dn2", {"strength": uneven, "rank": 3, "shrinkage": 0.2}),
        ("dn2-beta", "dn2", {"strength": 0.3, "beta": 4.0}),
        ("is-beta", "is", {"strength": uneven, "beta": 20.0}),
        ("nnn-k", "nnn", {"strength": uneven, "k": 4}),
        ("ridge-k", "ridge", {"strength": 0.4, "k": 4, "weight": 0.3}),
        ("csls-k", "csls", {"strength": 0.25, "k": 3}),
        ("qbnorm-beta", "qbnorm", {"beta": 10.0}),
        ("sinkhorn-short", "sinkhorn", {"strength": 0.5, "iterations": 20, "beta": 10.0}),
        ("centered-half", "centered", {"strength": 0.5}),
        ("auto-shift", "auto", {"shift": True, "seed": 3, "strength": {"image": 0.5, "text": 1.0}}),
    ):
        norms[name] = distnorm.make(method, **options).fit(**both)
    norms["auto-shift"].choose(images=rows["image_more"], texts=rows["text_more"])
    norms["auto-labelled"] = distnorm.make("auto").fit(**both)
    norms["auto-labelled"].choose(pairs=(rows["image_more"], rows["text_more"]))
    norms["queries-and-documents"] = distnorm.make("nnn", sides=("query", "document"), k=5).fit(
        query=rows["image"], document=rows["text"]
    )
    norms["texts-only"] = distnorm.make("is").fit(texts=rows["text"])
    norms["dn-of-any-length"] = distnorm.make("dn", input="any").fit(**raw)
    norms["dot-unfitted"] = distnorm.make("dot")
    norms["nnn-of-float16"] = distnorm.make("nnn").fit(
        **{side: x.astype(np.float16) for side, x in both.items()}
    )
    halves = [distnorm.make("dn2").fit(images=x, texts=y) for x, y in _halves(both)]
    norms["dn2-first-half"], norms["dn2-second-half"] = halves
    for method in ("dot", "dn", "dn2"):
        norms[f"{method}-calibrated"] = distnorm.make(method).fit(**both).calibrate(**more)
    norms["auto-calibrated"] = distnorm.make("auto").fit(**both).choose().calibrate(**more)
    for curve in ("isotonic", "platt"):
        norm = distnorm.make("dn").fit(**both).calibrate(**more)
        norm.calibrate_probability(**more, prior=0.2, method=curve)
        norms[f"dn-probability-{curve}"] = norm
    expected = {}
    for name, norm in norms.items():
        path = folder / f"{name}.safetensors"
        norm.save(path)
        found = {"results": results_of(distnorm.load(path), rows)}
        found["card"] = card_of(path)[0]
        expected[name] = found
    merged = distnorm.load(folder / "dn2-first-half.safetensors")
    merged = merged.merge(distnorm.load(folder / "dn2-second-half.safetensors"))
    expected["both halves"] = {"results": results_of(merged, rows)}
    _write(folder / "expected.json.gz", expected)


def _halves(both: dict[str, np.ndarray]) -> Any:
    return zip(*(np.array_split(x, 2) for x in both.values()), strict=True)


def _stores() -> None:
    from distnorm.embedding.writer import StoreWriter
    from distnorm.search.kept_bias import kept_bias

    from distnorm.scenes import save_scenes
    from distnorm.storage import read

    save_scenes(Path("scenes"), 6, world="matched", seed=3)
    lines = Path("scenes/captions.tsv").read_text().splitlines()
    # Two captions a picture, and one picture that is none.
    kept = [line for at, line in enumerate(lines[1:]) if at % 5 < 2]
    table = Path("scenes/captions.tsv")
    Path("scenes/broken.png").write_bytes(b"no picture")
    stores = Path("stores")
    stores.mkdir()
    embed = ("embed", "scenes", "--model", "builtin", "--workers", "0")
    with inside(_WORKSHOP):
        # Three shards, then statistics, then rows that leave and rows that come.
        table.write_text("\n".join([lines[0], *kept[:10]]) + "\n")
        _done("embed", *embed[1:], "--out", "stores/pruned", "--shard-rows", "6")
        for method in ("dn", "nnn"):
            out = f"stores/{method}-before-prune.safetensors"
            _done("fit", "--images", "stores/pruned", "--texts", "stores/pruned", "--method",
                  method, "--out", out)  # fmt: skip
        table.write_text("\n".join([lines[0], *kept[2:], "broken.png\tnothing to see"]) + "\n")
        _done("embed", *embed[1:], "--out", "stores/pruned", "--shard-rows", "6", "--prune", code=1)
        _done("embed", *embed[1:], "--out", "stores/pictures", code=1)
        sentences = "a red star\na blue circle\n\na green square at night\n".replace("\n\n", "\n")
        _done("embed", "-", "--model", "builtin", "--prompt", "a picture of {}.", "--out",
              "stores/sentences", given=sentences)  # fmt: skip
        # Cut off after the commit: new versions of shards that have not got their names.
        table.write_text("\n".join([lines[0], *kept[:6]]) + "\n")
        _done("embed", *embed[1:], "--out", "stores/pending")
        table.write_text("\n".join([lines[0], *kept[:9]]) + "\n")
        finish = StoreWriter._finish

        def cut(writer: Any) -> None:
            if writer._about["pending"]:
                raise KeyboardInterrupt
            finish(writer)

        with mock.patch.object(StoreWriter, "_finish", cut):
            _done("embed", *embed[1:], "--out", "stores/pending", code=130)
        # Cut off before it: files that no store.json names.
        table.write_text("\n".join([lines[0], *kept[:6]]) + "\n")
        _done("embed", *embed[1:], "--out", "stores/begun", "--shard-rows", "6")
        table.write_text("\n".join([lines[0], *kept[:9]]) + "\n")

        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        with mock.patch.object(StoreWriter, "_commit", stop):
            _done("embed", *embed[1:], "--out", "stores/begun", "--shard-rows", "6", code=130)
        # As clip-retrieval writes it: no store.json, two shards.
        from pyarrow import parquet

        written = parquet.read_table("stores/pictures/metadata/metadata_0.parquet")
        for part, side in (("img_emb", "image"), ("text_emb", "text"), ("metadata", "")):
            folder = stores / "clip-retrieval" / part
            folder.mkdir(parents=True)
            for number, (a, b) in enumerate(((0, 7), (7, 12))):
                if side:
                    x = np.load(f"stores/pictures/{part}/{part}_0.npy")
                    np.save(folder / f"{part}_{number}.npy", x[a:b])
                else:
                    short = written.select(["image_path", "caption"]).slice(a, b - a)
                    parquet.write_table(short, folder / f"{part}_{number}.parquet")
        for method in ("dn", "nnn"):
            _done("fit", "--images", "stores/pictures", "--texts", "stores/pictures", "--method",
                  method, "--out", f"stores/{method}.safetensors")  # fmt: skip
        asked = ("search", "stores/pictures", "a red star", "--normalization",
                 "stores/nnn.safetensors", "--k", "6")  # fmt: skip
        _done(*asked, "--bias", "stores/kept.bias")
        from safetensors.numpy import load, save

        norm, checksum = distnorm.load(asked[4]), read(asked[4])[2]
        items = np.load("stores/pictures/img_emb/img_emb_0.npy")
        kept_bias(Path("stores/kept-begun.bias"), norm, checksum, items[:5], "image")
        # Numbers that no computation gives: whoever lists by these has not computed them anew.
        numbers = load(Path("stores/kept.bias").read_bytes())["bias"]
        about = {"normalization": checksum, "side": "image"}
        strange = save({"bias": numbers + np.linspace(0, 2, len(numbers))}, about)
        Path("stores/kept-strange.bias").write_bytes(strange)
        # What is embedded once more by the tests: other versions of Pillow write other files.
        Path("scenes/broken.png").unlink()
        table.write_text("\n".join(lines) + "\n")
        shutil.move("scenes", "stores/scenes")
        from contract.stores import STEPS, play

        _write(stores / "expected.json.gz", {name: play(name, Path("stores")) for name in STEPS})


def _done(*words: Any, code: int = 0, given: Any = None) -> None:
    done = run(*words, given=given)
    assert done.exit_code == code, done.output


def _indexes(rows: dict[str, np.ndarray]) -> None:
    import faiss

    from distnorm.search.indexes import open_index
    from distnorm.search.indexes.sqlite_vec import connect

    folder = Path("indexes")
    folder.mkdir()
    items = rows["image"].astype(np.float32)
    norm = distnorm.load("normalizations/nnn.safetensors")
    index = faiss.IndexFlatIP(8)
    index.add(items)
    faiss.write_index(index, "indexes/photos.index")
    connection = connect("indexes/photos.sqlite")
    # Small pages, then small chunks: a file of 12 kB, not 400.
    connection.execute("PRAGMA page_size = 1024")
    with connection:
        connection.execute("CREATE VIRTUAL TABLE photos USING vec0(embedding float[8], "
                           "chunk_size=24)")  # fmt: skip
        connection.executemany(
            "INSERT INTO photos (rowid, embedding) VALUES (?, ?)",
            [(row, x.tobytes()) for row, x in enumerate(items)],
        )
    connection.close()
    expected = {}
    for name, spec in (("faiss", "faiss:indexes/photos.index"),
                       ("sqlite-vec", "sqlite-vec:indexes/photos.sqlite/photos")):  # fmt: skip
        with open_index(spec) as opened:
            opened.upload_bias(norm, batch=20)
            expected[name] = found_in(opened, norm, rows["text_queries"])
    place = Path("indexes/photos.index.bias")
    shutil.copytree(place, "indexes/begun")
    # Stopped after the first batch: nothing is published yet.
    (_one,) = [path for path in Path("indexes/begun").iterdir() if path.is_dir()]
    (_one / "part-000001.npz").unlink()
    Path("indexes/begun/published.json").unlink()
    shutil.copytree(place, "indexes/strange")
    (part, _) = sorted(Path("indexes/strange").rglob("part-*.npz"))
    with np.load(part) as file:
        ids, values = file["ids"], file["values"]
    np.savez(part, ids=ids, values=(values + np.linspace(0, 2, len(values))).astype(np.float32))
    listing = json.loads(Path("indexes/strange/published.json").read_text())
    with open_index("faiss:indexes/photos.index", biases="indexes/strange") as opened:
        expected["strange"] = found_in(opened, norm, rows["text_queries"])
    assert len(listing) == 1
    _write(folder / "expected.json.gz", expected)


def _watches(rows: dict[str, np.ndarray]) -> None:
    folder = Path("watches")
    folder.mkdir()
    norm = distnorm.load("normalizations/dn.safetensors")
    moved = unit(rows["raw_image_more"] + 4 * np.eye(8)[3])
    expected = {}
    for name, x in (("quiet", rows["image_more"]), ("alarmed", moved)):
        watch = distnorm.Watch(norm, false_alarm_rate=0.02, window=30)
        watch.update(images=np.concatenate([x, x])[:40], texts=rows["text_more"])
        watch.save(folder / f"{name}.safetensors")
        found: dict[str, Any] = {"loaded": plain(watch.to_dict())}
        again = distnorm.Watch.load(folder / f"{name}.safetensors", norm)
        again.update(images=rows["image"])
        found["with more rows"] = plain(again.to_dict())
        found["refreshed"] = results_of(again.refreshed(0.5), rows)
        expected[name] = found
    assert expected["quiet"]["loaded"]["alarm"] is None
    assert expected["alarmed"]["loaded"]["alarm"] is not None
    _write(folder / "expected.json.gz", expected)


def _write(path: Path, content: Any) -> None:
    # To twelve digits and compressed: nobody is to look at differences in what never changes.
    text = json.dumps(
        _rounded(plain(content)), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(x) for key, x in value.items()}
    if isinstance(value, list):
        return [_rounded(x) for x in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value
