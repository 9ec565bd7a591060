"""Searching an index by a shifted query against searching it raw, in every system.

For each system one index of synthetic rows: seconds of the same single-query searches raw and
normalized (DN), in turn; recall of both against the exact lists; and that of NNN by a stored bias.
Random rows of 512 dimensions have hardly any neighbours, so graphs and lists find few of the exact
items here; --real shows what they find on real vectors.
Wanted: the normalized search within the spread of the raw one, agreement 1 where the system is
exact.

With --real instead: the COCO photos and drawn scenes under the built-in model, and ImageNet's
vectors with class texts as queries, in every system; rewrites the table in results/indexes_real.md.
With --habits: collections as people have them (see `index_habits`), and the second table there.

Run: python benchmarks/indexes.py [--quick] [--only NAME,NAME] [--real | --habits]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import index_habits
import numpy as np
from harness import HERE, machine, measure, publish, random_rows, ratio, spread, versions
from index_builders import CASES, Case, Postgres

import distnorm

DIMENSIONS, QUERIES, K = 512, 20, 10
RESULT = HERE / "results" / "indexes_real.json"
PAGE = HERE / "results" / "indexes_real.md"
HABITS = "<!-- table: benchmarks/indexes.py --habits -->"
BEGIN, END = "<!-- table: benchmarks/indexes.py --real -->", "<!-- end of table -->"
# One or two of each system: metrics do not differ in what is shown.
SHOWN = (
    "faiss-flat",
    "faiss-ivf",
    "faiss-hnsw",
    "usearch-ip",
    "hnswlib-cosine",
    "qdrant-cosine",
    "pgvector-cosine",
    "pgvector-hnsw-cosine",
    "lancedb-cosine",
    "milvus-cosine",
    "milvus-auto-cosine",
    "chroma-cosine",
    "duckdb",
    "sqlite-vec-l2",
    "clip-retrieval",
)


def agreement(found: Any, exact: np.ndarray) -> float:
    """Share of the exact first items that a system's lists hold."""
    shares = [
        len(set(map(int, ids)) & set(row.tolist())) / len(row)
        for ids, row in zip(found.ids, exact, strict=True)
    ]
    return float(np.mean(shares))


def exact_lists(norm: Any, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The first items by distnorm itself."""
    if norm is None:
        return distnorm.search.topk(queries, items, K)[1]
    return distnorm.search.topk(queries, items, K, bias=norm.item_bias(images=items))[1]


def one(
    case: Case,
    items: np.ndarray,
    queries: np.ndarray,
    norms: dict[str, Any],
    repeats: int,
    folder: Path,
) -> dict[str, Any]:
    """Build, search raw, by DN and by NNN, compare, and time raw and DN in turn."""
    start = time.perf_counter()
    folder.mkdir()
    built = case.build(folder, range(len(items)), items)
    seconds = time.perf_counter() - start
    try:
        with built.open() as index:
            rows = {} if case.gives_rows else {"ids": range(len(items)), "items": items}
            index.upload_bias(norms["nnn"], **rows)
            result: dict[str, Any] = {"exact": case.exact, "build_seconds": round(seconds, 2)}
            result["agreement"] = {
                name: agreement(index.search(queries, K, norm), exact_lists(norm, queries, items))
                for name, norm in norms.items()
            }
            if not repeats:
                return result
            singles = [queries[row : row + 1] for row in range(min(QUERIES, len(queries)))]

            def run(norm: Any) -> Callable[[], None]:
                def all_queries() -> None:
                    for query in singles:
                        index.search(query, K, norm)

                return all_queries

            timings = measure({"raw": run(None), "dn": run(norms["dn"])}, repeats)
            each = 1000 / len(singles)
            result["ms"] = {
                name: {key: values[key] * each for key in ("min", "median", "max")}
                for name, values in timings.items()
            }
            result["ratio"] = ratio(timings, "dn", "raw")
            return result
    finally:
        built.stop()


def cases(options: argparse.Namespace) -> list[Case]:
    """Those to run and that are installed."""
    names = options.only.split(",") if options.only else SHOWN
    chosen = [case for case in CASES if case.name in names]
    for case in chosen:
        if case.missing:
            print(f"{case.name}: {case.missing} is not installed", file=sys.stderr)
    return [case for case in chosen if not case.missing]


def fitted(images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    """What is compared: nothing, a query shift, a stored bias."""
    return {
        "raw": None,
        "dn": distnorm.make("dn").fit(images=images, texts=texts),
        "nnn": distnorm.make("nnn").fit(images=images, texts=texts),
    }


def synthetic(options: argparse.Namespace) -> None:
    """The timed comparison."""
    n, d = (500, 32) if options.quick else (10_000, DIMENSIONS)
    repeats = options.repeats or (2 if options.quick else 9)
    items, queries = random_rows(n, d, seed=1), random_rows(QUERIES, d, seed=2)
    norms = fitted(random_rows(1000, d, seed=1)[-500:], random_rows(1000, d, seed=2)[-500:])
    results, rows = {}, []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        for case in cases(options):
            print(case.name, file=sys.stderr, flush=True)
            folder = Path(root) / case.name.replace("-", "_")
            found = results[case.name] = one(case, items, queries, norms, repeats, folder)
            share = found["agreement"]
            exact = "exact" if case.exact else "approximate"
            rows += [
                (f"{case.name}: time of DN / raw", spread(found["ratio"], digits=2), "1"),
                (f"{case.name}: ms a query, raw", spread(found["ms"]["raw"]), ""),
                (
                    f"{case.name}: agreement ({exact}) raw, DN, NNN",
                    ", ".join(f"{share[name]:.3f}" for name in norms),
                    "1" if case.exact else "DN as raw",
                ),
            ]
        Postgres.stop()
    shift = measure({"shift": lambda: norms["dn"].shift_queries(texts=queries[:1])}, repeats)[
        "shift"
    ]
    rows.append(("shift_queries of one query, ms", spread(_thousand(shift)), ""))
    settings = {"items": n, "dimensions": d, "queries": QUERIES, "k": K, "repeats": repeats}
    publish("indexes", options, settings, results, rows)


def _thousand(values: dict[str, Any]) -> dict[str, float]:
    return {key: 1000 * values[key] for key in ("min", "median", "max")}


def real_sets(quick: bool) -> dict[str, tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Items, queries and fitted methods of each set; queries are never fitted on."""
    from PIL import Image

    from distnorm.scenes import generate

    data = Path(os.environ.get("DISTNORM_REAL_DATA") or HERE.parent.parent / "shared" / "data")
    encoder = distnorm.load_encoder("builtin")
    folder = data / "coco159-images"
    captions = json.loads((folder / "captions.json").read_text())
    pictures, coco_texts = [], []
    for name, about in captions.items():
        found = next(folder.rglob(name))
        with Image.open(found) as picture:
            pictures.append(picture.convert("RGB"))
        coco_texts += about["captions"]
    scenes = generate(100 if quick else 500, seed=5)
    scene_texts = [caption for scene in scenes for caption in scene.captions()[:2]]
    sets = {}
    for name, images, texts in (
        ("COCO photos", pictures, coco_texts),
        ("scenes", [scene.image() for scene in scenes], scene_texts),
    ):
        x, y = encoder.encode_images(images), encoder.encode_texts([str(t) for t in texts])
        sets[name] = (x, y[1::2][:200], fitted(x, y[::2]))
    four = data / "imagenet4shot-clip-vit-b32"
    x = distnorm.normalize(np.load(four / "image.npy").astype(np.float32))
    y = distnorm.normalize(np.load(four / "class_text_raw.npy"))
    sets["ImageNet"] = (x[:500] if quick else x, y[1::2][:200], fitted(x, y[::2]))
    return sets


def real(options: argparse.Namespace) -> None:
    """The table of the page."""
    repeats = options.repeats or (1 if options.quick else 5)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        for number, (name, (items, queries, norms)) in enumerate(real_sets(options.quick).items()):
            for case in cases(options):
                print(name, case.name, file=sys.stderr, flush=True)
                folder = Path(root) / f"{case.name.replace('-', '_')}_{number}"
                timed = repeats if name == "ImageNet" else 0
                found = one(case, items, queries, norms, timed, folder)
                found["items"], found["queries"] = len(items), len(queries)
                results.setdefault(case.name, {})[name] = found
        Postgres.stop()
    text = table(results)
    print(text)
    if options.quick or options.only:
        return
    about = {
        "benchmark": "indexes_real",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "k": K,
        "results": results,
    }
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    kept = {"habits": before["habits"]} if "habits" in before else {}
    RESULT.write_text(json.dumps({**about, **kept}, indent=1) + "\n")
    _put(BEGIN, text)


def _put(begin: str, text: str) -> None:
    """A table of the page anew."""
    head, mark, rest = PAGE.read_text().partition(begin)
    _, _, tail = rest.partition(END)
    if not mark:
        raise SystemExit(f"no {begin} in {PAGE}")
    PAGE.write_text(f"{head}{begin}\n{text}\n{END}{tail}")


def habits(options: argparse.Namespace) -> None:
    """The second table of the page."""
    items, queries, norms = real_sets(True)["ImageNet"]
    data = index_habits.Data(items, queries[: 10 if options.quick else 100], norms)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        found = index_habits.run(data, Path(root), lambda line: print(line, file=sys.stderr))
        Postgres.stop()
    text = index_habits.table(found)
    print(text)
    if options.quick:
        return
    text += (
        f"\n\nAgreement with distnorm's own exact top {K}, in %. ImageNet: {len(items)} items, "
        f"{len(data.queries)} queries; {datetime.date.today().isoformat()}."
    )
    about = json.loads(RESULT.read_text())
    about["habits"] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "items": len(items),
        "queries": len(data.queries),
        "results": found,
    }
    RESULT.write_text(json.dumps(about, indent=1) + "\n")
    _put(HABITS, text)


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a system."""
    sets = list(next(iter(results.values())))
    lines = [
        "| system | "
        + " | ".join(f"{name}: raw / DN / NNN" for name in sets)
        + " | ms a query, raw | with DN | what changed for DN |",
        "|---|" + "---|" * (len(sets) + 3),
    ]
    for name, found in results.items():
        cells = []
        for each in sets:
            shares = found[each]["agreement"]
            cells.append(" / ".join(f"{100 * shares[key]:.1f}" for key in ("raw", "dn", "nnn")))
        ms = found["ImageNet"]["ms"]
        kind = "" if found["ImageNet"]["exact"] else " (approximate)"
        cells += [f"{ms[key]['median']:.2f}" for key in ("raw", "dn")]
        lines.append(f"| {name}{kind} | {' | '.join(cells)} | the query |")
    sizes = ", ".join(
        f"{each}: {found['items']} items, {found['queries']} queries"
        for each, found in next(iter(results.values())).items()
    )
    box = machine()
    lines += [
        "",
        f"Agreement with distnorm's own exact top {K}, in %. {sizes}. Latency on ImageNet, median "
        f"of single queries in turn; {box['processor']}, {box['cores']} cores, "
        f"{datetime.date.today().isoformat()}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Either part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="folder; default benchmarks/results")
    parser.add_argument("--only", default="", help="names of cases between commas")
    parser.add_argument("--real", action="store_true", help="real inputs; rewrites its table")
    parser.add_argument("--habits", action="store_true", help="collections as people have them")
    options = parser.parse_args()
    # What the systems' clients say of their own dependencies is no result.
    warnings.simplefilter("ignore")
    (habits if options.habits else real if options.real else synthetic)(options)


if __name__ == "__main__":
    main()
