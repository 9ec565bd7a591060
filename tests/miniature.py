"""Public data sets in miniature: drawn scenes in the folders and files of the official ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np

from distnorm.scenes import generate

COLOURS = ("red", "blue", "green", "yellow")
SHAPES = ("circle", "square", "star")


def scenes(n, *, seed=0, world="faded"):
    return generate(n, world=world, seed=seed)


def save(scene, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    scene.image().save(path, format=kind, **({} if kind == "PNG" else {"quality": 95}))


def karpathy(root: Path, name: str, *, test=30, val=16, folder=None, seed=0):
    """``dataset_{name}.json`` and its pictures."""
    images = []
    for number, scene in enumerate(scenes(test + val, seed=seed)):
        file = f"COCO_val2014_{number:012d}.jpg" if name == "coco" else f"{number}.jpg"
        below = {"coco": "val2014", "flickr30k": "flickr30k-images"}[name]
        save(scene, root / below / file)
        entry = {
            "filename": file,
            "imgid": number,
            "split": "test" if number < test else "val",
            "sentids": [5 * number + k for k in range(5)],
            "sentences": [
                {"raw": text, "tokens": text.split(), "imgid": number, "sentid": 5 * number + k}
                for k, text in enumerate(scene.captions())
            ],
        }
        if name == "coco":
            entry |= {"filepath": "val2014", "cocoid": 1000 + number}
        images.append(entry)
    (root / f"dataset_{name}.json").write_text(json.dumps({"dataset": name, "images": images}))


def eccv(root: Path, test=30):
    """Ground truths of the miniature COCO: each caption's own image and the next one."""
    root.mkdir(parents=True, exist_ok=True)
    forth = {str(5 * i + k): [1000 + i, 1000 + (i + 1) % test] for i in range(test) for k in (0, 1)}
    back = {}
    for caption, images in forth.items():
        for image in images:
            back.setdefault(str(image), []).append(int(caption))
    for name in ("cxc", "eccv"):
        (root / f"{name}_caption_to_image.json").write_text(json.dumps(forth))
        (root / f"{name}_image_to_caption.json").write_text(json.dumps(back))


def class_folders(root: Path, *, each=6, seed=3, split=None):
    """Class folders ``red_circle`` ... by the largest object of drawn scenes."""
    place = root if split is None else root / split
    counts = {}
    for scene in scenes(600, seed=seed, world="matched"):
        colour, shape = scene.label.split()
        name = f"{colour}_{shape}"
        if colour not in COLOURS or shape not in SHAPES or counts.get(name, 0) >= each:
            continue
        save(scene, place / name / f"image_{counts.get(name, 0) + 1:04d}.jpg")
        counts[name] = counts.get(name, 0) + 1
    return counts


def labelled(n, seed=3):
    """Scenes, their labels and class names."""
    names = sorted(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
    kept = [s for s in scenes(20 * n, seed=seed, world="matched") if s.label in names][:n]
    return kept, [names.index(s.label) for s in kept], names


def cifar100(root: Path, *, test=24, train=30):
    place = root / "cifar-100-python"
    place.mkdir(parents=True)
    _, _, names = labelled(1)
    for split, n, seed in (("test", test, 3), ("train", train, 4)):
        kept, labels, _ = labelled(n, seed)
        pixels = np.stack([np.asarray(s.image().resize((32, 32))) for s in kept])
        data = pixels.transpose(0, 3, 1, 2).reshape(n, -1)
        content = {b"data": data, b"fine_labels": labels, b"batch_label": b"a batch"}
        (place / split).write_bytes(pickle.dumps(content, protocol=2))
    meta = {b"fine_label_names": [name.replace(" ", "_").encode() for name in names]}
    (place / "meta").write_bytes(pickle.dumps(meta, protocol=2))


def flickr8k(root: Path, *, judged=12, dev=16):
    """Token file, splits, expert and crowd judgements, pictures."""
    root.mkdir(parents=True, exist_ok=True)
    drawn = scenes(judged + dev, seed=9)
    lines, expert, crowd = [], [], []
    for number, scene in enumerate(drawn):
        name = f"{1000 + number}_abc.jpg"
        save(scene, root / "Flicker8k_Dataset" / name)
        lines += [f"{name}#{k}\t{text}" for k, text in enumerate(scene.captions())]
    names = [f"{1000 + number}_abc.jpg" for number in range(judged + dev)]
    for number in range(judged):
        expert.append(f"{names[number]}\t{names[number]}#0\t4\t4\t4")
        for step, scores in ((1, "1\t1\t2"), (2, "1\t2\t1"), (5, "2\t1\t3")):
            other = names[(number + step) % judged]
            expert.append(f"{names[number]}\t{other}#{step % 5}\t{scores}")
            yes = int(scores[-1]) - 1
            crowd.append(f"{names[number]}\t{other}#{step % 5}\t{yes / 3:.3f}\t{yes}\t{3 - yes}")
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (root / "ExpertAnnotations.txt").write_text("\n".join(expert) + "\n")
    (root / "CrowdFlowerAnnotations.txt").write_text("\n".join(crowd) + "\n")
    (root / "Flickr_8k.testImages.txt").write_text("\n".join(names[:judged]) + "\n")
    (root / "Flickr_8k.devImages.txt").write_text("\n".join(names[judged:]) + "\n")


def pascal50s(root: Path, *, pairs=24):
    """The authors' two MATLAB files: structs of cells, as SciPy writes and reads them."""
    import scipy.io

    root.mkdir(parents=True, exist_ok=True)
    drawn = scenes(pairs // 2, seed=11)
    new_input = np.zeros((1, pairs), dtype=[("image", "O"), ("sent_1", "O"), ("sent_2", "O")])
    fields = [(name, "O") for name in ("A", "B", "C", "winner")]
    triplets = np.zeros((1, 48 * pairs), dtype=fields)
    for scene, row in zip(drawn, range(pairs // 2), strict=True):
        save(scene, root / "images" / f"2008_{row:06d}.jpg")

    def cell(text):
        found = np.empty((1, 1), dtype=object)
        found[0, 0] = text
        return found

    for pair in range(pairs):
        scene = drawn[pair // 2]
        right, wrong = scene.captions()[pair % 2], scene.damaged_caption(3, pair)
        first, second = (right, wrong) if pair % 3 else (wrong, right)
        new_input[0, pair] = (f"2008_{pair // 2:06d}.jpg", first + " ", second)
        for vote in range(48):
            reference = scene.captions(48)[vote]
            wins = 1 if (pair % 3 > 0) == (vote < 40) else -1
            triplets[0, 48 * pair + vote] = (cell(reference), cell(first), cell(second), wins)
    category = np.array([[1 + pair % 4 for pair in range(pairs)]], dtype=np.uint8)
    scipy.io.savemat(root / "pair_pascal.mat", {"new_input": new_input, "category": category})
    scipy.io.savemat(root / "consensus_pascal.mat", {"triplets": triplets})


def thumb(root: Path, pictures: Path, *, images=8):
    root.mkdir(parents=True, exist_ok=True)
    rows, references = [], []
    for number, scene in enumerate(scenes(images, seed=13)):
        name = f"COCO_val2014_{500 + number:012d}.jpg"
        save(scene, pictures / name)
        texts = [scene.captions()[0], *(scene.damaged_caption(k, number) for k in (1, 2, 3))]
        for level, text in enumerate(texts):
            rows.append(
                {
                    "SYS": ("Human", "VinVL-large", "Unified-VLP", "Up-Down")[level],
                    "seg_id": str(500 + number),
                    "hyp": text,
                    "image": name,
                    "human_score": 5.0 - level - 0.5 * (number % 2),
                }
            )
        references.append({"seg_id": str(500 + number), "refs": list(scene.captions()[1:])})
    (root / "mscoco_THumB-1.0.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (root / "mscoco_references.json").write_text("\n".join(map(json.dumps, references)) + "\n")
