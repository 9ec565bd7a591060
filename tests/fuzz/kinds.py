"""What is tried: every kind of file that is read and every text that a user types.

A kind makes good originals once, in a folder of its own; one attempt changes one of them and reads
it as users do. `Wrong` says that something was accepted that an independent reader, the original or
plain arithmetic says otherwise of.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import importlib
import io
import json
import math
import random
import re
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import distnorm
from distnorm.errors import DistnormError

HERE = Path(__file__).parent
for place in (HERE, HERE.parent / "helpers"):
    if str(place) not in sys.path:
        sys.path.append(str(place))

from index_files import databases, index_files
from mutations import (
    encoded,
    mutate_bytes,
    mutate_json,
    mutate_npy,
    mutate_table,
    mutate_text,
    mutate_value,
)

__all__ = ["KINDS", "Wrong", "build"]

Mutator = Callable[[random.Random, bytes], bytes]
N, D = 12, 6
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


class Wrong(Exception):
    """Accepted, but not what it is."""


def require(good: bool, what: str) -> None:
    if not good:
        raise Wrong(what)


@dataclass
class Files:
    """Originals in a folder, how they are changed, and who reads them."""

    folder: Path
    read: Callable[[Path], Any]
    check: Callable[[Path, Any], None]
    files: dict[str, bytes]
    ways: dict[str, tuple[Mutator, ...]] = field(default_factory=dict)

    def attempt(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.files))
        target, data = self.folder / name, self.files[name]
        way = rng.choice((mutate_bytes, *self.ways.get(name, ()), *self.ways.get("*", ())))
        try:
            changed = way(rng, data)
        except Exception:  # one change may not fit what another one has left
            changed = mutate_bytes(rng, data)
        # Into a new file: the old one may be mapped into memory.
        target.unlink()
        target.write_bytes(changed)
        try:
            found = self.read(self.folder)
            try:
                self.check(self.folder, found)
            except (Wrong, DistnormError):
                raise
            except Exception as error:
                what = f"the independent reader refuses it: {type(error).__name__}: {error}"
                raise Wrong(what) from error
        finally:
            target.unlink(missing_ok=True)
            target.write_bytes(data)


@dataclass
class Texts:
    """Texts that users type, and what takes them."""

    read: Callable[[str], Any]
    check: Callable[[str, Any], None]
    texts: tuple[str, ...]

    def attempt(self, rng: random.Random) -> None:
        text = rng.choice(self.texts)
        for _ in range(rng.choice((1, 1, 2, 3))):
            text = mutate_text(rng, text)
        self.check(text, self.read(text))


def as_text(rng: random.Random, data: bytes) -> bytes:
    return encoded(rng, mutate_text(rng, data.decode(errors="replace")))


def rows(seed: int = 0, n: int = N, d: int = D) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0.3, 1, (n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def kept(folder: Path, read: Callable[[Path], Any], check: Any, **ways: Any) -> Files:
    """All files that lie in ``folder`` now; ``ways`` by the ends of their names."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }
    by_name = {name: ways.get(name.rpartition(".")[2], ways.get("every", ())) for name in files}
    return Files(folder, read, check, files, by_name)


def only(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name)


def nothing(_: Any, __: Any) -> None:
    """Nothing to compare with: it is enough that it ends well."""


# Vectors -----------------------------------------------------------------------------------------


def npy(folder: Path) -> Files:
    np.save(folder / "x.npy", rows())

    def check(at: Path, found: Any) -> None:
        there = np.load(at / "x.npy", allow_pickle=False)
        require(np.array_equal(np.asarray(found, np.float64), there.astype(np.float64),
                               equal_nan=True), "other numbers than numpy reads")  # fmt: skip

    return kept(folder, only("x.npy", distnorm_rows), check, npy=(mutate_npy, mutate_npy))


def npz(folder: Path) -> Files:
    np.savez(folder / "x.npz", image=rows(), text=rows(1))

    def check(at: Path, found: Any) -> None:
        with np.load(at / "x.npz", allow_pickle=False) as there:
            require(any(same(found, there[key]) for key in there.files), "no array of the file")

    return kept(folder, only("x.npz", distnorm_rows), check)


def same(found: Any, other: Any) -> bool:
    if other.dtype.kind not in "fiub":
        return False
    return np.array_equal(np.asarray(found, np.float64), np.asarray(other, np.float64), True)


def distnorm_rows(path: Path) -> Any:
    from distnorm.arrays import check_embeddings
    from distnorm.store.vectors import read_embeddings

    return check_embeddings(np.asarray(read_embeddings(path, "image")), "images")


def vector_parquet(folder: Path) -> Files:
    pa = importlib.import_module("pyarrow")
    pq = importlib.import_module("pyarrow.parquet")
    names = [f"{i}.jpg" for i in range(N)]
    pq.write_table(pa.table({"path": names, "embedding": rows().tolist()}), folder / "x.parquet")

    def check(at: Path, found: Any) -> None:
        file = pq.ParquetFile(at / "x.parquet")
        columns = []
        for name in file.schema_arrow.names:
            with contextlib.suppress(OSError, ValueError):  # another column may be damaged
                columns.append(file.read([name]).column(0).to_pylist())
        for column in columns:
            if all(isinstance(row, list) for row in column) and column:
                require(np.allclose(found, np.array(column, float), 1e-6), "other numbers")
                return
        raise Wrong("no column of lists")

    return kept(folder, only("x.parquet", distnorm_rows), check, parquet=(mutate_table,) * 2)


def vector_csv(folder: Path) -> Files:
    lines = [",".join(f"{v:.6f}" for v in row) for row in rows()]
    (folder / "x.csv").write_text("\n".join(lines) + "\n")

    def check(at: Path, found: Any) -> None:
        text = decoded((at / "x.csv").read_bytes())
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        there = [line for line in csv.reader(io.StringIO(text), delimiter=separator(text)) if line]
        require(len(there) - len(found) in (0, 1), f"{len(found)} rows of {len(there)} lines")
        for row, line in zip(np.asarray(found)[::-1], there[::-1], strict=False):
            cells = [float(cell) for cell in line if NUMBER.fullmatch(cell)][-len(row) :]
            require(np.allclose(row, cells, 1e-5, 1e-8), f"{row.tolist()} of {line}")

    return kept(folder, only("x.csv", distnorm_rows), check, csv=(as_text,) * 3)


def decoded(data: bytes) -> str:
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def separator(text: str) -> str:
    return max(",;\t", key=text.count)


def vector_jsonl(folder: Path) -> Files:
    lines = [json.dumps({"id": i, "embedding": row.tolist()}) for i, row in enumerate(rows())]
    (folder / "x.jsonl").write_text("\n".join(lines) + "\n")

    def check(at: Path, found: Any) -> None:
        text = decoded((at / "x.jsonl").read_bytes())
        there = values_of(text.replace("\r", "\n"))
        require(len(there) == len(found), f"{len(found)} rows of {len(there)} lines")
        for row, line in zip(np.asarray(found), there, strict=True):
            numbers = [part for part in lists_of_numbers(line) if len(part) == len(row)]
            require(any(np.allclose(row, part, 1e-5) for part in numbers), "other numbers")

    return kept(folder, only("x.jsonl", distnorm_rows), check, jsonl=(as_text, mutate_json))


def values_of(text: str) -> list[Any]:
    """Those of the lines, else of the whole as JSON or as Python prints it."""
    try:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        try:
            value = json.loads(text)
        except ValueError:
            value = ast.literal_eval(text.strip())
        return value if isinstance(value, list) else [value]


def lists_of_numbers(value: Any) -> Iterator[np.ndarray]:
    """Those in a value of JSON, however deep."""
    if isinstance(value, list) and value and all(map(is_number, value)):
        with contextlib.suppress(OverflowError):
            yield np.array(value, float)
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from lists_of_numbers(inner)


def vector_answers(folder: Path) -> Files:
    lists = rows().tolist()
    answers = {
        "data": [{"object": "embedding", "index": i, "embedding": r} for i, r in enumerate(lists)],
        "hits": {"hits": [{"_id": "a", "_source": {"embedding": row}} for row in lists]},
        "embeddings": {"float": lists, "int8": [[1] * D] * N},
    }
    for name, value in answers.items():
        (folder / f"{name}.json").write_text(json.dumps({name: value, "usage": {"tokens": 3}}))

    def read(at: Path) -> Any:
        return {name: distnorm_rows(at / f"{name}.json") for name in answers}

    def check(at: Path, found: Any) -> None:
        for name in answers:
            text = decoded((at / f"{name}.json").read_bytes())
            there = list(lists_of_numbers(values_of(text.replace("\r", "\n"))))
            for row in np.asarray(found[name]):
                numbers = [part for part in there if len(part) == len(row)]
                require(any(np.allclose(row, part, 1e-5) for part in numbers), "other numbers")

    return kept(folder, read, check, every=(mutate_json, mutate_json))


def vector_safetensors(folder: Path) -> Files:
    save = importlib.import_module("safetensors.numpy")
    save.save_file({"image": rows(), "text": rows(1)}, folder / "x.safetensors")

    def check(at: Path, found: Any) -> None:
        there = save.load_file(at / "x.safetensors")
        require(any(same(found, x) for x in there.values()), "no tensor of the file")

    way = (mutate_safetensors_header,)
    return kept(folder, only("x.safetensors", distnorm_rows), check, safetensors=way)


def mutate_safetensors_header(rng: random.Random, data: bytes) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    head = json.dumps(mutate_value(rng, json.loads(data[8:end]))).encode()
    return len(head).to_bytes(8, "little") + head + data[end:]


# Lines, labels, judgements -----------------------------------------------------------------------


def lines(folder: Path) -> Files:
    from distnorm.tasks.files import read_lines

    (folder / "x.txt").write_text(
        "".join(f"caption {i} of a b\u00fcs\n" for i in range(9)), "utf-8"
    )

    def check(at: Path, found: Any) -> None:
        text = decoded((at / "x.txt").read_bytes())
        there = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        mine = [line.strip() for line in found if line.strip()]
        lines = [line.strip() for line in there if line.strip()]
        headed = lines[:1] in (["caption"], ["text"], ["sentence"])
        require(mine == lines or (headed and mine == lines[1:]), "other lines")

    return kept(folder, only("x.txt", read_lines), check, txt=(as_text,) * 3)


def labels(folder: Path) -> Files:
    from distnorm.tasks.files import read_rows

    return number_file(folder, read_rows, [3, 1, 4, 1, 5, 9, 2, 6])


def judgements(folder: Path) -> Files:
    from distnorm.tasks.files import read_numbers

    return number_file(folder, read_numbers, [3.5, 1, 4, 1.25, 5, 9, 2, 6])


def number_file(folder: Path, read: Callable[[Path], Any], values: list[Any]) -> Files:
    (folder / "x.txt").write_text("".join(f"{v}\n" for v in values))

    def check(at: Path, found: Any) -> None:
        text = decoded((at / "x.txt").read_bytes())
        for end in ("\r\n", "\r"):
            text = text.replace(end, "\n")
        there = [line.strip().strip('"').strip("'") for line in text.split("\n")]
        there = [line for line in there if line]
        for start in (0, 1):
            try:
                numbers = [float(re.sub("[,;|]", " ", line).split()[-1]) for line in there[start:]]
            except (ValueError, IndexError):
                continue
            if same(found, np.array(numbers)):
                return
        raise Wrong(f"{np.asarray(found).tolist()[:9]} of {there[:9]}")

    return kept(folder, only("x.txt", read), check, txt=(as_text,) * 3)


def class_names(folder: Path) -> Files:
    from distnorm.tasks.class_names import read_class_names

    (folder / "x.json").write_text(json.dumps({str(i): f"class {i}" for i in range(5)}))

    def check(_: Path, found: Any) -> None:
        require(all(isinstance(n, str) and n.strip() for n in found.names), "a name that is none")

    return kept(folder, only("x.json", read_class_names), check, json=(mutate_json, as_text))


# What distnorm writes ----------------------------------------------------------------------------


def fitted(method: str = "dn2") -> distnorm.ScoreNormalization:
    norm = distnorm.make(method, model="m", prompt="a photo of {}.")
    return norm.fit(images=rows(0, 40), texts=rows(1, 40))


def known(norm: distnorm.ScoreNormalization) -> list[Any]:
    """All that ranking rests on."""
    found: list[Any] = [json.dumps(norm.to_dict(), sort_keys=True), norm.notes.to_dict()]
    for side in norm.sides:
        moments = norm.moments(side)
        found.append({} if moments is None else
                     {k: v.tobytes() for k, v in moments.to_arrays().items()})  # fmt: skip
        found.append([np.asarray(part).tobytes() for part in norm.statistics[side].bank or ()])
    return found


def use(norm: distnorm.ScoreNormalization) -> None:
    """As `evaluate`, `card` and `threshold` do."""
    from distnorm.monitoring.card import build_card, card_markdown

    scores = norm.similarity(rows(2), rows(3))
    require(bool(np.isfinite(scores).all()), "scores that are no numbers")
    card = build_card(norm)
    json.dumps(card, allow_nan=False)
    card_markdown(card)
    require(all(n >= 0 for n in norm.counts.values()), "a negative count")
    if norm.notes.calibration is not None:
        rate = norm.false_alarm_rate(norm.threshold(0.01).value)
        require(0 <= float(rate) <= 1, f"a rate of {float(rate)}")


def normalization(folder: Path) -> Files:
    for method in ("dn", "nnn"):
        fitted(method).save(folder / f"{method}.safetensors")
    before = {m: known(distnorm.load(folder / f"{m}.safetensors")) for m in ("dn", "nnn")}

    def read(at: Path) -> Any:
        found, refused = {}, None
        for method in before:
            try:
                found[method] = distnorm.load(at / f"{method}.safetensors")
            except DistnormError as error:
                refused = error
        if refused is not None:
            raise refused
        return found

    def check(_: Path, found: Any) -> None:
        for method, norm in found.items():
            require(known(norm) == before[method], "another content under the same checksum")

    return kept(folder, read, check, safetensors=(mutate_safetensors_header,))


def resealed(folder: Path) -> Files:
    """Settings and notes that somebody changed, checksum and all."""
    norm = fitted().calibrate(images=rows(4, 60), texts=rows(5, 60))
    norm.save(folder / "n.safetensors")

    def reseal(rng: random.Random, data: bytes) -> bytes:
        from distnorm import storage

        target = folder / "other.safetensors"
        target.write_bytes(data)
        settings, tensors, _ = storage.read(target)
        settings.pop("format_version", None)
        if rng.random() < 0.7:
            changed = mutate_value(rng, settings)
            settings = changed if isinstance(changed, dict) else {}
        else:
            key = rng.choice(sorted(tensors))
            values = np.array(tensors[key])
            if rng.random() < 0.5 or not values.size:
                values = values[: rng.randint(0, len(values))]
            else:
                values.flat[rng.randrange(values.size)] = rng.choice((np.nan, np.inf, -1e30, -1))
            tensors = {**tensors, key: np.ascontiguousarray(values)}
        storage.write(target, settings, tensors)
        return target.read_bytes()

    def read(at: Path) -> Any:
        norm = distnorm.load(at / "n.safetensors")
        use(norm)
        return norm

    return kept(folder, read, nothing, safetensors=(reseal,) * 20)


def watch_state(folder: Path) -> Files:
    norm = distnorm.make("dn").fit(images=rows(0, 200), texts=rows(1, 200))
    watch = distnorm.Watch(norm, window=64).update(images=rows(2, 80))
    watch.save(folder / "w.state")
    before, x = watch.to_dict(), watch.refreshed().moments("image").sum

    def check(_: Path, found: Any) -> None:
        require(found.to_dict() == before, "another state")
        require(np.array_equal(found.refreshed().moments("image").sum, x), "other rows")
        found.update(images=rows(3, 40))

    read = only("w.state", lambda path: distnorm.Watch.load(path, norm))
    return kept(folder, read, check, state=(mutate_safetensors_header,))


def bias_file(folder: Path) -> Files:
    from distnorm.search.bias_file import kept_bias

    norm, items = fitted(), rows(2, 30)
    before = kept_bias(folder / "b.safetensors", norm, "sum", items, "image").bias

    def read(path: Path) -> Any:
        return kept_bias(path, norm, "sum", items, "image")

    def check(_: Path, found: Any) -> None:
        require(np.allclose(found.bias, before, 1e-12), "other biases")

    return kept(
        folder, only("b.safetensors", read), check, safetensors=(mutate_safetensors_header,)
    )


def bias_folder(folder: Path) -> Files:
    from distnorm.search.indexes.bias_store import BiasFolder

    store = BiasFolder(folder)
    store.prepare("c")
    store.write("c", list(range(6)), np.arange(6) / 8)
    numbers = {"count": 6, "lowest": 0.0, "mean": 0.3125, "strength": {"image": 0.5, "text": 0.5}}
    store.publish("c", {"method": "dn2", "params": {}, "side": "image", **numbers})
    before = BiasFolder(folder).read("c", list(range(6)))

    def read(at: Path) -> Any:
        again = BiasFolder(at)
        return again.published(), again.read("c", list(range(6)))

    def check(_: Path, found: Any) -> None:
        require(isinstance(found[0], dict), "no list of what is complete")
        require(np.array_equal(found[1], before, equal_nan=True), "other biases")

    return kept(folder, read, check, json=(mutate_json, as_text))


def store(folder: Path) -> Files:
    from tiny_encoder import Tiny

    from distnorm.embedding import embed, open_source
    from distnorm.store.columns import read_names
    from distnorm.store.layout import Commit
    from distnorm.store.models import check_models, prompt_of
    from distnorm.store.vectors import read_embeddings

    source = folder.parent / "sentences.txt"
    source.write_text("".join(f"sentence {i}\n" for i in range(N)))
    embed(Tiny(), open_source(source), folder, model="tiny", workers=0, shard_rows=5)
    pq = importlib.import_module("pyarrow.parquet")

    def read(at: Path) -> Any:
        Commit.read(at)
        check_models(None, str(at))
        prompt_of(str(at))
        return np.asarray(read_embeddings(at, "text")), read_names(at, "text")

    def check(at: Path, found: Any) -> None:
        shards = [np.load(p) for p in sorted((at / "text_emb").glob("*.npy"))]
        # A list of fewer shards is what store.json may say: rows of shards, in their order.
        there = iter([row.tobytes() for row in np.concatenate(shards)])
        require(all(row.tobytes() in there for row in found[0]), "other rows")
        require(len(found[0]) == len(found[1]), f"{len(found[0])} rows, {len(found[1])} names")
        own: set[str] = set()
        for path in sorted((at / "metadata").glob("*.parquet")):
            for name in ("caption", "text"):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    own |= set(map(str, pq.read_table(path, columns=[name])[name].to_pylist()))
        mine = {name for name in found[1] if not name.startswith("#")}
        require(mine <= own, "names from nowhere")

    return kept(
        folder, read, check, json=(mutate_json, as_text), jsonl=(mutate_json, as_text),
        npy=(mutate_npy,), parquet=(mutate_table,),
    )  # fmt: skip


# What is embedded --------------------------------------------------------------------------------


def pictures() -> dict[str, bytes]:
    from PIL import Image

    found = {}
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name, mode in (("a.png", "RGB"), ("b.jpg", "RGB"), ("c.png", "P"), ("d.gif", "P"),
                       ("e.webp", "RGB"), ("f.bmp", "RGB"), ("g.tiff", "L")):  # fmt: skip
        out = io.BytesIO()
        kind = {"jpg": "JPEG", "tiff": "TIFF"}.get(name[2:], name[2:].upper())
        Image.fromarray(pixels).convert(mode).save(out, kind)
        found[name] = out.getvalue()
    return found


def picture(folder: Path) -> Files:
    from distnorm.embedding.pictures import open_picture

    for name, data in pictures().items():
        (folder / name).write_bytes(data)

    def read(at: Path) -> Any:
        refused, found = None, []
        for path in sorted(at.iterdir()):
            try:
                found.append(open_picture(path)[0])
            except DistnormError as error:
                refused = error
        if refused is not None:
            raise refused
        return found

    def check(_: Path, found: Any) -> None:
        require(all(p.size[0] * p.size[1] > 0 for p in found), "no pixels")

    return kept(folder, read, check)


def tar(folder: Path) -> Files:
    with tarfile.open(folder / "x.tar", "w") as out:
        for i, data in enumerate(list(pictures().values())[:2] * 2):
            for name, content in ((f"{i}.png", data), (f"{i}.txt", f"caption {i}".encode()),
                                  (f"{i}.json", b'{"caption": "c", "url": "u"}')):  # fmt: skip
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))

    return kept(folder, only("x.tar", all_items), check_items, every=())


def all_items(path: Path, **options: Any) -> Any:
    from distnorm.embedding import open_source

    source = open_source(path, **options)
    return list(source), source.problems


def check_items(_: Path, found: Any) -> None:
    for item in found[0]:
        text = getattr(item, "text", None)
        require(text is None or (isinstance(text, str) and bool(text.strip())), "an empty text")


def sources(name: str, content: bytes, *ways: Mutator) -> Callable[[Path], Files]:
    def build(folder: Path) -> Files:
        (folder / name).write_bytes(content)
        for i in range(3):
            (folder / f"{i}.jpg").write_bytes(b"a picture that nobody opens here")
        made = kept(folder, only(name, all_items), check_items)
        made.files = {name: content}
        made.ways = {name: ways}
        return made

    return build


CAPTIONS = b"path,caption\n" + b"".join(b"%d.jpg,a dog and %d cats\n" % (i, i) for i in range(3))
JSONL = b"".join(b'{"file_name": "%d.jpg", "text": "%d cats"}\n' % (i, i) for i in range(3))
COCO = json.dumps(
    {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(3)],
        "annotations": [{"id": i, "image_id": i % 3, "caption": f"c {i}"} for i in range(6)],
    }
).encode()


def table_source(folder: Path) -> Files:
    pa = importlib.import_module("pyarrow")
    out = io.BytesIO()
    table = pa.table({"path": ["0.jpg", "1.jpg"], "caption": ["a", "b"], "n": [1, 2]})
    importlib.import_module("pyarrow.parquet").write_table(table, out)
    return sources("x.parquet", out.getvalue(), mutate_table, mutate_table)(folder)


# Data sets and models ----------------------------------------------------------------------------


def data_sets(folder: Path) -> Files:
    import miniature

    from distnorm import datasets

    miniature.karpathy(folder / "coco", "coco", test=3, val=2)
    miniature.flickr8k(folder / "flickr8k", judged=4, dev=3)
    miniature.flickr30k_tokens(folder / "flickr30k", test=2, val=1)
    miniature.thumb(folder / "thumb", folder / "pictures", images=3)
    miniature.sun397(folder / "sun397", each=1)
    miniature.imagenet(folder / "imagenet", each=1, train=1, flat="kaggle")
    miniature.eccv(folder / "eccv", test=3)
    loaders: dict[str, Callable[[Path], Any]] = {
        "coco": lambda at: datasets.karpathy(at / "coco", check=False),
        "flickr8k": lambda at: (
            datasets.flickr8k(at / "flickr8k", check=False),
            datasets.flickr8k_expert(at / "flickr8k", check=False),
            datasets.flickr8k_crowdflower(at / "flickr8k", check=False),
        ),
        "flickr30k": lambda at: datasets.flickr30k(at / "flickr30k", check=False),
        "thumb": lambda at: datasets.thumb(at / "thumb", check=False),
        "sun397": lambda at: datasets.sun397(at / "sun397", check=False),
        "imagenet": lambda at: datasets.imagenet(at / "imagenet", check=False),
        "eccv": lambda at: datasets.coco_ground_truth(at / "eccv", check=False),
    }
    sizes = {name: load(folder) for name, load in loaders.items()}
    made = kept(
        folder, lambda at: None, nothing, json=(mutate_json, as_text), txt=(as_text,) * 2,
        csv=(as_text,) * 2, token=(as_text,) * 2, jsonl=(mutate_json, as_text),
    )  # fmt: skip
    made.files = {n: d for n, d in made.files.items() if n.split("/")[0] in sizes
                  and not n.endswith((".jpg", ".png", ".JPEG", ".mat"))}  # fmt: skip
    attempt = made.attempt

    def one(rng: random.Random) -> None:
        name = rng.choice(sorted({n.split("/")[0] for n in made.files}))
        made.read = loaders[name]
        whole = made.files
        made.files = {n: d for n, d in whole.items() if n.split("/")[0] == name}
        try:
            attempt(rng)
        finally:
            made.files = whole

    made.check = check_data_set
    made.attempt = one  # type: ignore[method-assign]
    return made


def cifar(folder: Path) -> Files:
    import miniature

    from distnorm import datasets
    from distnorm.datasets.cifar100 import cifar100_pixels

    miniature.cifar100(folder, test=3, train=2)

    def read(at: Path) -> Any:
        return datasets.cifar100(at, check=False), cifar100_pixels(at)

    def check(_: Path, found: Any) -> None:
        data, pixels = found
        require(len(pixels) == len(data.images) == len(data.labels), "counts")
        require(pixels.shape[1:] == (32, 32, 3), "pixels of another size")
        labels = np.asarray(data.labels)
        require(((labels >= 0) & (labels < len(data.classes))).all(), "labels of no class")

    return kept(folder, read, check)


def mat_files(folder: Path) -> Files:
    """Each is read in a process of its own, which takes most of the time."""
    import miniature

    from distnorm import datasets

    miniature.flowers102(folder, test=2, val=1)
    made = kept(folder, lambda at: datasets.flowers102(at, check=False), check_data_set)
    made.files = {name: data for name, data in made.files.items() if name.endswith(".mat")}
    return made


def check_data_set(_: Path, found: Any) -> None:
    for each in found if isinstance(found, tuple) else (found,):
        owner = getattr(each, "image_of_text", getattr(each, "image_of_caption", None))
        if owner is not None:
            require(len(owner) == 0 or 0 <= owner.min() <= owner.max() < len(each.images), "owner")
        human = getattr(each, "human", None)
        require(human is None or bool(np.isfinite(human).all()), "judgements that are no numbers")


def model_configs(folder: Path) -> Files:
    from distnorm.encoders import load_encoder
    from distnorm.encoders.processor import recipe

    onnx_folder(folder)

    def read(at: Path) -> Any:
        settings: Any = None
        encoder = load_encoder(f"onnx:{at}")
        with contextlib.suppress(OSError, ValueError):
            settings = json.loads((at / "preprocessor_config.json").read_text())
        made = recipe(settings) if isinstance(settings, dict) else None
        return made, encoder, encoder.encode_texts(["a dog", "a cat"])

    def check(_: Path, found: Any) -> None:
        require(bool(np.isfinite(found[2]).all()), "rows that are no numbers")
        temperature = found[1].temperature
        require(temperature is None or 0 < temperature < math.inf, f"temperature {temperature}")
        require(
            all(isinstance(p, str) and ("{c}" in p or "{}" in p) for p in found[1].prompts),
            "a prompt without place",
        )

    made = kept(folder, read, check, json=(mutate_json,) * 3)
    made.files = {n: d for n, d in made.files.items() if n.endswith(".json")}
    return made


def onnx_folder(folder: Path) -> None:
    """A model of texts that sums vectors of words, and what lies beside one."""
    onnx = importlib.import_module("onnx")
    tokenizers = importlib.import_module("tokenizers")
    helper, kind = onnx.helper, onnx.TensorProto
    words = {"[PAD]": 0, "[UNK]": 1, "a": 2, "dog": 3, "cat": 4}
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "input_ids"], ["each"]),
         helper.make_node("ReduceSum", ["each", "axis"], ["text_embeds"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("input_ids", kind.INT64, ["n", "l"])],
        [helper.make_tensor_value_info("text_embeds", kind.FLOAT, ["n", D])],
        [onnx.numpy_helper.from_array(rows(7, len(words)), "w"),
         onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "text.onnx")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "distnorm": {"model_id": "m", "temperature": 0.01, "prompts": ["a {c}"], "max_tokens": 8,
                     "padding": "max_length", "pad_token": "[PAD]"},
        "tokenizer_config": {"model_max_length": 8, "pad_token": "[PAD]"},
        "config": {"text_config": {"max_position_embeddings": 8}},
        "preprocessor_config": {
            "do_resize": True, "size": {"shortest_edge": 8}, "resample": 3, "do_center_crop": True,
            "crop_size": {"height": 8, "width": 8}, "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
        },
    }  # fmt: skip
    for name, value in settings.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


# Texts -------------------------------------------------------------------------------------------


def method_names(_: Path) -> Texts:
    from distnorm.cli.options import make_norm, parse_ks, split_methods

    def read(text: str) -> Any:
        first, _, second = text.partition("\x01")
        parse_ks(second or "1,5")
        return [make_norm(name, second or None) for name in split_methods(first)]

    def check(text: str, found: Any) -> None:
        for norm in found:
            require(all(abs(v) < 1e6 for v in norm.strength.values()), f"{norm.strength}")
            norm.fit(images=rows(), texts=rows(1))
            if norm.spec.two_sided and not norm.spec.chooses:
                scores = norm.similarity(rows(2), rows(3))
                require(bool(np.isfinite(scores).all()), f"{text!r}: scores that are no numbers")

    return Texts(read, check, (
        "dn", "dn2@0.5", "nnn:k=5", "dn,dn2@0.3,nnn:k=3,beta=0.5", "is:tau=0.05", "qbnorm:beta=20",
        "sinkhorn:iterations=5", "dot", "dn*", "dn\x010.5", "dn\x01image=0.25,text=0.5", "csls:k=2",
        "dn2:rank=2", "ridge", "centered", "dn\x011,5,10",
    ))  # fmt: skip


def index_specs(_: Path) -> Texts:
    from distnorm.search.indexes import is_spec, open_index
    from distnorm.search.indexes.arguments import __all__ as _names

    del _names

    def read(text: str) -> Any:
        if text.startswith(("http", "pgvector", "qdrant", "milvus", "chroma", "clip-retrieval")):
            return is_spec(text)
        is_spec(text)
        opened = open_index(text, model="m")
        opened.close()
        return None

    return Texts(read, nothing, (
        "faiss:/nowhere/x.index", "usearch:/nowhere/x", "hnswlib:/nowhere/x?dim=512&space=ip",
        "sqlite-vec:/nowhere/x.db/t?column=embedding", "faiss:/nowhere/x.index?ids=1",
        "pgvector:postgresql://u@h/d/t?column=embedding&id=id", "nothing:x", "duckdb:/nowhere/x/t",
    ))  # fmt: skip


def templates(_: Path) -> Texts:
    from distnorm.encoders.prompts import check_templates, fill, prompted

    def read(text: str) -> Any:
        try:
            check_templates([text])
        except DistnormError:
            return prompted(["dog"], text)
        return [fill(text, "dog")]

    def check(text: str, found: Any) -> None:
        require(all(isinstance(t, str) and "dog" in t for t in found), f"{text!r}: no word in it")

    return Texts(read, check, ("a photo of a {c}.", "{}", "a photo of", "a {c} and {c}", "{{c}} x"))


def command_lines(folder: Path) -> Texts:
    """Every command, with one of its words changed."""
    from click.testing import CliRunner

    from distnorm.cli.main import cli

    np.save(folder / "x.npy", rows(0, 30))
    np.save(folder / "y.npy", rows(1, 30))
    np.save(folder / "l.npy", np.arange(30) % 6)
    np.save(folder / "c.npy", rows(3, 6))
    (folder / "human.txt").write_text("".join(f"{i % 4}\n" for i in range(30)))
    fitted("dn2").calibrate(images=rows(4, 60), texts=rows(5, 60)).save(folder / "n.safetensors")
    runner = CliRunner()
    pair = ("--images", f"{folder}/x.npy", "--texts", f"{folder}/y.npy")
    norm = f"{folder}/n.safetensors"
    classes = ("--images", f"{folder}/x.npy", "--classes", f"{folder}/c.npy")
    judged = ("--images", f"{folder}/x.npy", "--captions", f"{folder}/y.npy")
    commands = [
        [
            "fit",
            *pair,
            "--method",
            "dn",
            "--strength",
            "0.5",
            "--out",
            f"{folder}/o",
            "--overwrite",
        ],
        ["fit", *pair, "--samples", "5", "--seed", "1", "--sides", "a,b", "--out", f"{folder}/o"],
        ["fit", *pair, "--method", "auto", "--explain", "--model", "m", "--out", f"{folder}/p"],
        ["inspect", norm, "--json", "-"],
        ["card", norm, "--describe", "photos", "--json", "-"],
        ["diff", norm, norm, *pair, "--level", "0.01", "--tolerance", "0.1"],
        ["watch", norm, *pair, "--false-alarm-rate", "0.01", "--window", "50"],
        ["calibrate", norm, *pair, "--pairs", "rows", "--seed", "0", "--out", f"{folder}/q"],
        ["evaluate", "retrieval", *pair, "--normalization", norm, "--k", "1,5,10"],
        ["evaluate", "retrieval", *pair, "--normalization", norm, "--threshold", "0.3"],
        ["evaluate", "retrieval", *pair, "--normalization", norm, "--false-alarm-rate", "0.01"],
        ["evaluate", "classification", *classes, "--labels", f"{folder}/l.npy", "--method", "dot"],
        ["evaluate", "captions", *judged, "--human", f"{folder}/human.txt", "--rule", "clipscore"],
        ["compare", "retrieval", *pair, "--methods", "dot,dn,nnn:k=3", "--repeats", "2"],
        ["compare", "retrieval", *pair, "--fit-fraction", "0.5", "--repeats", "2", "--seed", "3"],
        ["compare", "classification", *classes, "--labels", f"{folder}/l.npy", "--repeats", "2"],
        ["index", "check", "faiss:/nowhere/x.index", "--k", "3"],
        ["search", f"{folder}/x.npy", "a red star", "--k", "3", "--side", "image"],
        ["benchmark", "paper", "--model", "builtin", "--data", f"{folder}", "--out", f"{folder}/r"],
    ]

    def read(text: str) -> Any:
        words = text.split("\x1f")
        # Only what lies in this folder is written, whatever an option became.
        if any(w.startswith("/") and not w.startswith(str(folder)) for w in words):
            return None
        return runner.invoke(cli, words)

    def check(text: str, done: Any) -> None:
        if done is None:
            return
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        require(done.exit_code in (0, 1, 2, 3), f"exit code {done.exit_code}")
        for out in (done.stdout, done.stderr):
            require("\x1b" not in out and "\u202e" not in out, "a control character is shown")
        if done.exit_code != 0:
            raise DistnormError("a refusal", "words on standard error", done.stderr[-80:])

    made = Texts(read, check, ("",))

    def attempt(rng: random.Random) -> None:
        words = list(rng.choice(commands))
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(1, len(words))
            what = rng.randrange(8)
            if what == 0:
                del words[at]
            elif what == 1:
                words.insert(at, words[at])
            elif not words[at].startswith((str(folder), "--out")):
                words[at] = mutate_text(rng, words[at]).replace("\x1f", "")
            if len(words) < 2:
                break
        check("", read("\x1f".join(words)))

    made.attempt = attempt  # type: ignore[method-assign]
    return made


KINDS: dict[str, tuple[Callable[[Path], Any], float]] = {
    "vectors .npy": (npy, 40),
    "vectors .npz": (npz, 20),
    "vectors .parquet": (vector_parquet, 20),
    "vectors .csv": (vector_csv, 40),
    "vectors .jsonl": (vector_jsonl, 40),
    "vectors in answers": (vector_answers, 20),
    "vectors .safetensors": (vector_safetensors, 30),
    "lines": (lines, 60),
    "labels": (labels, 60),
    "judgements": (judgements, 60),
    "class names": (class_names, 40),
    "normalizations": (normalization, 40),
    "normalizations, sealed anew": (resealed, 30),
    "watch states": (watch_state, 20),
    "kept biases": (bias_file, 30),
    "bias folders": (bias_folder, 30),
    "stores": (store, 20),
    "pictures": (picture, 20),
    "tar files": (tar, 20),
    "captions .csv": (sources("x.csv", CAPTIONS, as_text, as_text, as_text), 40),
    "captions .jsonl": (sources("x.jsonl", JSONL, as_text, mutate_json), 40),
    "captions .json": (sources("x.json", COCO, as_text, mutate_json), 40),
    "sentences": (sources("x.txt", b"a dog\nb cat\nc\n", as_text, as_text, as_text), 40),
    "captions .parquet": (table_source, 15),
    "data sets": (data_sets, 40),
    "data sets, pickles": (cifar, 20),
    "data sets, .mat": (mat_files, 0.3),
    "model settings": (model_configs, 15),
    "methods, strengths, ks": (method_names, 60),
    "index specs": (index_specs, 40),
    "templates": (templates, 60),
    "command lines": (command_lines, 15),
    "index files": (index_files, 10),
    "databases": (databases, 3),
}
"""By name: what builds a kind in a folder, and its share of the inputs."""

NEEDS = {
    "vectors .parquet": ("pyarrow",),
    "stores": ("pyarrow", "PIL"),
    "pictures": ("PIL",),
    "tar files": ("PIL",),
    "captions .parquet": ("pyarrow",),
    "data sets": ("PIL",),
    "data sets, pickles": ("PIL",),
    "data sets, .mat": ("PIL", "scipy"),
    "model settings": ("onnx", "onnxruntime", "tokenizers", "PIL"),
    "index specs": ("faiss", "usearch", "hnswlib", "sqlite_vec", "duckdb"),
    "index files": ("faiss", "usearch", "hnswlib"),
    "databases": ("duckdb", "sqlite_vec", "lancedb", "pyarrow"),
}


def missing(name: str) -> Iterable[str]:
    """Packages that a kind needs and that are not here."""
    from importlib.util import find_spec

    return [module for module in NEEDS.get(name, ()) if find_spec(module) is None]


def build(name: str, folder: Path) -> Any:
    """A kind with its originals in ``folder``."""
    place = folder / "originals"
    place.mkdir(parents=True, exist_ok=True)
    return KINDS[name][0](place)
