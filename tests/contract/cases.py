"""Commands that write JSON, on small inputs: what is run, what it needs, how exact it is."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract.commands import run
from contract.comparing import settled
from contract.inputs import unit, write_inputs

__all__ = ["CASES", "Case", "inside", "play"]


@dataclass(frozen=True)
class Case:
    """Commands one after the other in one folder; ``needs`` names modules, not extras.

    ``abs_``, ``share``: see `differences`.
    """

    steps: tuple[str, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] = lambda: None
    abs_: float = 1e-8
    rel: float = 1e-6
    share: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)


def play(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Run the steps in a new folder.

    Each step is a line of a shell, ``--json -`` left out; with ``< FILE`` it gets standard input.

    Returns
    -------
    list of dict
        By step: the command, its exit code, its JSON, the line that says what went wrong, and
        the files that it made.
    """
    with inside(folder):
        write_inputs(folder)
        case.prepare()
        return [_step(line, folder, case.environment) for line in case.steps]


def _step(line: str, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    before = _files(folder)
    command, _, source = line.partition(" < ")
    given = Path(source).read_bytes() if source else None
    done = run(*shlex.split(command), "--json", "-", given=given, environment=environment)
    found: dict[str, Any] = {"command": line, "exit_code": done.exit_code, "json": None}
    if done.stdout.strip():
        found["json"] = json.loads(done.stdout)
    if found["json"] is None:
        found["said"] = done.stderr.strip().splitlines()[-1]
    found["made"] = sorted(_files(folder) - before)
    return settled(found, {str(folder.resolve()): "<folder>"})


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


PAIR = "--images image.npy --texts text.npy"
FIT = "--fit-images fit_image.npy --fit-texts fit_text.npy"
MORE = "--images more_image.npy --texts more_text.npy"
CLASSES = "--images photos.npy --classes classes.npy --labels labels.npy"
CAPTIONS = "--images image.npy --captions text.npy --human human.csv"
REFERENCES = "--references references.npy --image-of-reference references_of.npy"
EVERY = (
    "dot,dn@0.3,dn*,dn2:rank=3,is:beta=20,scale=2,nnn:k=4,ridge,csls:k=5,qbnorm,sinkhorn,centered"
)


def _references() -> None:
    np.save("references_of.npy", np.arange(120) // 2)


def _raw_pair() -> None:
    for side in ("image", "text"):
        rows = np.load(f"{side}.npy")
        np.save(f"{side}.npy", rows * np.linspace(0.5, 2, len(rows))[:, None])


def _batches() -> None:
    with open("batches", "wb") as file:
        for part in np.array_split(np.load("more_image.npy"), 3):
            np.save(file, part)


def _faiss() -> None:
    import faiss

    rows = np.load("image.npy").astype(np.float32)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows[:50])
    faiss.write_index(index, "photos.index")
    index.add(rows[50:])
    faiss.write_index(index, "grown.index")


def _scenes() -> None:
    from distnorm.scenes import save_scenes

    save_scenes(Path("scenes"), 12, world="matched", seed=3)
    # What the model makes of a picture varies in the last bits from one processor to the next.
    Path("sentences").write_text("a red star\na blue circle\na green square at night\n")
    Path("broken").mkdir()
    Path("broken/bad.png").write_bytes(b"no picture")
    one = next(Path("scenes").glob("*.png"))
    Path("broken/good.png").write_bytes(one.read_bytes())


def _searched() -> None:
    """A store, without the command that makes one, and an index of its pictures."""
    _scenes()
    rows, captions = _rows_of_scenes()
    for part, x in rows.items():
        Path("store", part).mkdir(parents=True)
        np.save(f"store/{part}/{part}_0.npy", x)
    from pyarrow import Table, parquet

    Path("store/metadata").mkdir()
    paths = [f"matched-{row // 5:06d}.png" for row in range(len(captions))]
    table = Table.from_pydict({"image_path": paths, "caption": captions})
    parquet.write_table(table, "store/metadata/metadata_0.parquet")


def _rows_of_scenes() -> tuple[dict[str, np.ndarray], list[str]]:
    import distnorm
    from distnorm.scenes import generate

    encoder = distnorm.load_encoder("builtin")
    fitted = generate(40, world="matched", seed=8)
    images = encoder.encode_images([scene.image() for scene in fitted])
    texts = encoder.encode_texts([scene.captions()[0] for scene in fitted])
    for method in ("dn", "nnn"):
        norm = distnorm.make(method, model=encoder.model_id)
        norm.fit(images=images[:20], texts=texts[:20])
        norm.calibrate(images=images[20:], texts=texts[20:]).save(f"{method}.safetensors")
    scenes = generate(12, world="matched", seed=3)
    captions = [text for scene in scenes for text in scene.captions()]
    pictures = encoder.encode_images([scene.image() for scene in scenes])
    return {
        "img_emb": np.repeat(pictures, 5, axis=0).astype(np.float16),
        "text_emb": encoder.encode_texts(captions).astype(np.float16),
    }, captions


def _searched_in_faiss() -> None:
    import faiss

    _searched()
    rows = np.load("store/img_emb/img_emb_0.npy")[::5].astype(np.float32)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(unit(rows).astype(np.float32))
    faiss.write_index(index, "photos.index")


def _data_sets() -> None:
    import miniature

    miniature.karpathy(Path("data/coco"), "coco", test=12, val=10)
    miniature.class_folders(Path("data/mine"), each=2)
    miniature.flickr8k(Path("data/flickr8k"), judged=8, dev=10)


MODEL = ("onnxruntime", "PIL")
STORE = (*MODEL, "pyarrow")
PAGE = ("jinja2", "matplotlib")
# With the built-in model: float32, by a runtime and a processor of their own.
CLOSE: dict[str, Any] = {"abs_": 2e-3, "rel": 1e-3}

CASES = {
    "compare-retrieval": Case(
        (
            f"compare retrieval {PAIR} --repeats 2",
            f"compare retrieval {PAIR} --methods {EVERY} --protocol paper --samples 20 --repeats 2 "
            "--prompt 'a photo of ' --no-diagnostics --k 1,2 --image-of-text owner.npy",
            f"compare retrieval {PAIR} --protocol reference {FIT} --methods auto,dn,nnn",
            f"compare retrieval {PAIR} --protocol transductive --strength image=0.25,text=0.5",
            f"compare retrieval {PAIR} --methods dm",
            "compare retrieval --images imag.npy --texts text.npy",
            "compare retrieval --images image.npy",
        )
    ),
    "compare-retrieval-of-raw-rows": Case(
        (
            f"compare retrieval {PAIR} --repeats 1",
            f"compare retrieval {PAIR} --repeats 1 --input any --methods dot,dn,centered",
            "compare retrieval --images raw_image.npy --texts raw_text.npy --input raw --repeats 1 "
            "--methods dn-renorm,dn --no-diagnostics",
        ),
        prepare=_raw_pair,
    ),
    "compare-classification": Case(
        (
            f"compare classification {CLASSES} --repeats 2 --class-names class_names.txt",
            f"compare classification {CLASSES} --protocol reference {FIT} --methods dn,csls,dn2",
        )
    ),
    "compare-captions": Case(
        (
            f"compare captions {CAPTIONS} --repeats 2",
            f"compare captions {CAPTIONS} {REFERENCES} --repeats 2 --methods dot,dn,is "
            "--rule harmonic --protocol paper --samples 20",
        ),
        prepare=_references,
    ),
    "evaluate-retrieval": Case(
        (
            f"evaluate retrieval {PAIR}",
            f"evaluate retrieval {PAIR} --method nnn@0.3:k=4 {FIT} --r-precision --k 1,3",
            f"evaluate retrieval {PAIR} --normalization calibrated.safetensors "
            "--false-alarm-rate 0.05",
            f"evaluate retrieval {PAIR} --normalization dn.safetensors --threshold 0.2",
            f"evaluate retrieval {PAIR} --normalization dn.safetensors --false-alarm-rate 0.05",
            f"evaluate retrieval {PAIR} --method dn",
            f"evaluate retrieval {PAIR} --method dn --normalization dn.safetensors",
            f"evaluate retrieval {PAIR} --image-of-text owner.npy --normalization auto.safetensors",
        )
    ),
    "evaluate-classification": Case(
        (
            f"evaluate classification {CLASSES} --class-names class_names.txt",
            f"evaluate classification {CLASSES} --normalization calibrated.safetensors "
            "--false-alarm-rate 0.3",
            f"evaluate classification {CLASSES} --method is {FIT}",
        )
    ),
    "evaluate-captions": Case(
        (
            f"evaluate captions {CAPTIONS} --rule clipscore",
            f"evaluate captions {CAPTIONS} --method dn* {FIT} {REFERENCES} --rule additive",
            f"evaluate captions {CAPTIONS} {REFERENCES} --rule refclipscore",
            f"evaluate captions {CAPTIONS} --rule x",
            f"evaluate captions {CAPTIONS} --caption-texts captions.txt",
        ),
        prepare=_references,
    ),
    "evaluate-captions-overlap": Case(
        (
            f"evaluate captions {CAPTIONS} {REFERENCES} --caption-texts captions.txt "
            "--reference-texts references.txt",
        ),
        needs=("pycocoevalcap",),
        prepare=_references,
        # Without Java, where the tokens are words.
        environment={"PATH": ""},
    ),
    "fit": Case(
        (
            f"fit {PAIR} --out one.safetensors",
            f"fit {PAIR} --method dn2@0.25:rank=3 --samples 30 --seed 4 --model m "
            "--prompt 'a {}' --out two.safetensors",
            "fit --images image.npy --images fit_image.npy --strength image=0.25,text=0.5 "
            "--method nnn:k=4 --out three.safetensors",
            f"fit {PAIR} --sides query,document --input any --out four.safetensors",
            f"fit {PAIR} --method auto --out five.safetensors",
            f"fit {PAIR} --method auto --labelled --explain --out six.safetensors",
            f"fit {PAIR} --out one.safetensors",
            f"fit {PAIR} --out one.safetensors --method is --overwrite",
            "fit --out seven.safetensors",
            f"fit {PAIR} --explain --out seven.safetensors",
        )
    ),
    "inspect": Case(
        (
            "inspect dn.safetensors",
            "inspect auto.safetensors",
            "inspect images_only.safetensors",
            "inspect calibrated.safetensors",
            "inspect image.npy",
            "inspect none.safetensors",
        )
    ),
    "calibrate": Case(
        (
            f"calibrate dn.safetensors {MORE}",
            f"calibrate nnn.safetensors {MORE} --pairs none --seed 3 --out other_nnn.safetensors",
            f"calibrate dn.safetensors {PAIR} --pairs owner.npy --out third.safetensors",
            "calibrate dn.safetensors --images photos.npy --texts classes.npy --pairs best",
        )
    ),
    "calibrate-probability": Case(
        (
            f"calibrate dn.safetensors {PAIR} --matches --prior 0.2",
            f"calibrate dn.safetensors {PAIR} --matches --prior 0.2 --curve platt "
            "--out platt.safetensors",
        ),
        needs=("sklearn",),
    ),
    "card": Case(
        (
            "card dn.safetensors",
            "card auto.safetensors --beside",
            f"card calibrated.safetensors {PAIR} --describe 'Drawn numbers.' --keep",
            "card calibrated.safetensors --out card.md",
            "card dn.safetensors --images image.npy",
        )
    ),
    "diff": Case(
        (
            "diff dn.safetensors other.safetensors",
            f"diff dn.safetensors nnn.safetensors {PAIR}",
            f"diff dn.safetensors other.safetensors {PAIR} --level 0.001 --tolerance 0.5",
            "diff dn.safetensors none.safetensors",
        )
    ),
    "watch": Case(
        (
            f"watch dn.safetensors {MORE} --state state --exit-code",
            "watch dn.safetensors --images moved.npy --state state --exit-code --refresh "
            "fresh.safetensors --forget 0.25",
            "watch dn.safetensors --images more_image.npy --state state",
            "watch dn.safetensors --stdin image --window 20 --false-alarm-rate 0.05 < batches",
            "watch dn.safetensors --images more_image.npy --state state --window 20",
            "watch nnn.safetensors --images more_image.npy --state state",
        ),
        prepare=_batches,
    ),
    "index": Case(
        (
            "index check faiss:photos.index",
            "index check faiss:photos.index --normalization nnn.safetensors",
            "index bias faiss:photos.index --normalization nnn.safetensors --batch 20",
            "index check faiss:photos.index --normalization nnn.safetensors --queries text.npy "
            "--k 5",
            "index bias faiss:photos.index --normalization nnn.safetensors",
            "index bias faiss:grown.index --normalization nnn.safetensors --biases beside",
            "index check faiss:grown.index --normalization nnn.safetensors --biases beside",
            "index bias faiss:grown.index --normalization nnn.safetensors --biases beside --fresh "
            "--items image.npy",
            "index list faiss:photos.index --normalization nnn.safetensors",
            "index drop faiss:grown.index --biases beside --all",
            "index check faiss:photos.index --normalization dn.safetensors --queries text.npy",
            "index bias faiss:photos.index --normalization dn.safetensors",
            "index hubs faiss:photos.index --queries text.npy --normalization dn.safetensors --k 3",
            "index check nosuch:place",
        ),
        needs=("faiss",),
        prepare=_faiss,
    ),
    "export-atlas": Case(
        (
            "export-atlas image.npy --queries text.npy --normalization dn.safetensors --k 5 "
            "--out map.parquet",
            "export-atlas image.npy --normalization dn.safetensors --out alone.parquet",
        ),
        needs=("pyarrow", "PIL"),
    ),
    "embed": Case(
        (
            "embed scenes --model builtin --out store --workers 0",
            "embed scenes --model builtin --out store --workers 0 --rehash",
            "embed broken --model builtin --out photos --workers 0 --shard-rows 1",
            "embed - --model builtin --out sentences_store --prompt 'a picture of {}' < sentences",
            "embed scenes --model builtin --out sentences_store --workers 0",
            "fit --images store --texts store --method nnn --out n.safetensors",
            "fit --update n.safetensors",
            "fit --images store --texts sentences_store --method dn --out m.safetensors",
            "compare retrieval --images store --texts store --repeats 1 --methods dot,dn",
        ),
        needs=STORE,
        prepare=_scenes,
        share=0.05,
        **CLOSE,
    ),
    "search": Case(
        (
            "search store 'a red star' --model builtin --k 4",
            "search store 'a red star' --k 4",
            "search store 'a red star' --model builtin --k 4 --normalization dn.safetensors --both",
            "search store 'a red star' --model builtin --k 4 --normalization nnn.safetensors "
            "--bias kept.safetensors",
            "search store 'a red star' --model builtin --k 4 --normalization nnn.safetensors "
            "--bias kept.safetensors --false-alarm-rate 0.2",
            "search store 'a blue circle' --model builtin --k 12 --normalization dn.safetensors "
            "--false-alarm-rate 0.3",
            "search store 'a red star' --model builtin --k 3 --side text",
            "search store 'a red star' --model builtin --k 6 --side both --both --normalization "
            "dn.safetensors",
            "search store 'a red star' --model builtin --k 6 --side both --scale two-sided",
            "search store scenes/matched-000003.png --model builtin --k 3 --normalization "
            "nnn.safetensors --side text",
            "search store 'a red star' --model builtin --k 3 --threshold 9",
            "search store 'a red star' --model builtin --normalization dn.safetensors --bias x "
            "--side both",
        ),
        needs=STORE,
        prepare=_searched,
        **CLOSE,
    ),
    "search-index": Case(
        (
            "search faiss:photos.index 'a red star' --model builtin --k 3 --normalization "
            "dn.safetensors --both",
            "search faiss:photos.index 'a red star' --model builtin --k 3 --normalization "
            "nnn.safetensors",
            "index bias faiss:photos.index --normalization nnn.safetensors",
            "search faiss:photos.index 'a red star' --model builtin --k 3 --normalization "
            "nnn.safetensors --false-alarm-rate 0.5",
            "search faiss:photos.index 'a red star'",
        ),
        needs=(*STORE, "faiss"),
        prepare=_searched_in_faiss,
        **CLOSE,
    ),
    "benchmark-paper": Case(
        (
            "benchmark paper --model builtin --data data --out out --no-check --workers 0 "
            "--tasks coco,imagenet,flickr8k-expert,folder:mine --samples 6 --seeds 2 "
            "--methods dot,dn,is --augment none,tta --views identity,flip",
            "benchmark paper --model builtin --data data --out clean --stores out/stores "
            "--no-check --workers 0 --tasks folder:mine --protocol clean --samples 6 --seeds 2",
            "benchmark paper --model builtin --data data --out none --tasks imagenet",
        ),
        needs=(*STORE, *PAGE, "pycocoevalcap"),
        prepare=_data_sets,
        environment={"PATH": ""},
        abs_=2e-3,
        rel=1e-3,
        share=0.05,
    ),
    "demo": Case(
        ("demo --size 20 --seed 3 --out shown", "demo --size 20 --seed 3 --out shown"),
        needs=(*MODEL, *PAGE),
        abs_=2e-3,
        rel=1e-3,
        share=0.05,
    ),
}
