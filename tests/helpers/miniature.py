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


def shared(one, other):
    """How much two scenes have in common: 0 to 2."""
    objects = ({(t.colour, t.shape) for t in scene.things} for scene in (one, other))
    return int(one.background == other.background) + int(bool(set.intersection(*objects)))


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
        crowd.append(f"{names[number]}\t{names[number]}#1\t1.000\t3\t0")
        for step in (1, 2, 5):
            other = (number + step) % judged
            scores = [min(4, shared(drawn[number], drawn[other]) + k) for k in (1, 1, 1 + step % 2)]
            caption = f"{names[number]}\t{names[other]}#{step % 5}"
            expert.append("\t".join([caption, *map(str, scores)]))
            yes = min(scores) - 1
            crowd.append(f"{caption}\t{yes / 3:.6f}\t{yes}\t{3 - yes}")
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

    said = [scene.captions(48) for scene in drawn]
    for pair in range(pairs):
        scene = drawn[pair // 2]
        right, wrong = scene.captions()[pair % 2], scene.damaged_caption(3, pair)
        first, second = (right, wrong) if pair % 3 else (wrong, right)
        new_input[0, pair] = (f"2008_{pair // 2:06d}.jpg", first + " ", second)
        for vote in range(48):
            reference = said[pair // 2][vote]
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


def sun397(root: Path, *, each=3):
    classes = ("/a/abbey", "/a/athletic_field/outdoor", "/b/bakery/shop")
    (root / "Partitions").mkdir(parents=True)
    (root / "ClassName.txt").write_text("".join(f"{name} \n" for name in classes))
    drawn = iter(scenes(2 * each * len(classes), seed=17))
    for split in ("Training", "Testing"):
        lines = []
        for name in classes:
            for number in range(each):
                line = f"{name}/sun_{split.lower()}{number}.jpg"
                save(next(drawn), root / "SUN397" / line.lstrip("/"))
                lines.append(line)
        (root / "Partitions" / f"{split}_01.txt").write_text("\n".join(lines) + "\n")


def stanford_cars(root: Path, *, test=6, train=4):
    import scipy.io

    (root / "devkit").mkdir(parents=True)
    _, _, names = labelled(1)
    classes = np.empty((1, len(names)), dtype=object)
    classes[0] = names
    scipy.io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": classes})
    corners = [(f"bbox_{side}", "O") for side in ("x1", "y1", "x2", "y2")]
    for split, n, file in (
        ("train", train, root / "devkit" / "cars_train_annos.mat"),
        ("test", test, root / "cars_test_annos_withlabels.mat"),
    ):
        kept, labels, _ = labelled(n, 5)
        table = np.zeros((1, n), dtype=[*corners, ("class", "O"), ("fname", "O")])
        for row, (scene, label) in enumerate(zip(kept, labels, strict=True)):
            save(scene, root / f"cars_{split}" / f"{row + 1:05d}.jpg")
            table[0, row] = (1, 2, 30, 40, label + 1, f"{row + 1:05d}.jpg")
        scipy.io.savemat(file, {"annotations": table})


def flowers102(root: Path, *, test=7, val=5):
    import scipy.io

    kept, labels, names = labelled(test + val, 6)
    for number, scene in enumerate(kept, start=1):
        save(scene, root / "jpg" / f"image_{number:05d}.jpg")
    order = np.arange(1, test + val + 1)
    splits = {"tstid": order[:test][None], "valid": order[test:][None], "trnid": order[:1][None]}
    scipy.io.savemat(root / "setid.mat", splits)
    scipy.io.savemat(root / "imagelabels.mat", {"labels": np.array([labels]) + 1})
    (root / "classes.txt").write_text("\n".join(names) + "\n")


def imagenet(root: Path, *, each=3, train=4, flat=None):
    """Class folders, or a flat validation folder with "kaggle" or "devkit" labels."""
    synsets = ("n01440764", "n02012849", "n03126707")
    words = ("tench, Tinca tinca", "crane", "crane")
    root.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{s} {w}\n" for s, w in zip(synsets, words, strict=True))
    (root / "LOC_synset_mapping.txt").write_text(text)
    drawn = iter(scenes(len(synsets) * (each + train), seed=19))
    labels = []
    for synset in synsets:
        for number in range(train):
            save(next(drawn), root / "train" / synset / f"{synset}_{number}.JPEG")
    for number in range(each * len(synsets)):
        label = number % len(synsets)
        labels.append(label)
        name = f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        below = root / "val" if flat else root / "val" / synsets[label]
        save(next(drawn), below / name)
    if flat == "kaggle":
        lines = ["ImageId,PredictionString"] + [
            f"ILSVRC2012_val_{n + 1:08d},{synsets[label]} 1 2 30 40 "
            for n, label in enumerate(labels)
        ]
        (root / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
    if flat == "devkit":
        import scipy.io

        # The kit numbers synsets in an order of its own.
        numbers = {synset: 3 - row for row, synset in enumerate(synsets)}
        table = np.zeros((3, 1), dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
        for row, (synset, number) in enumerate(numbers.items()):
            table[row, 0] = (number, synset, words[row])
        scipy.io.savemat(root / "meta.mat", {"synsets": table})
        (root / "ILSVRC2012_validation_ground_truth.txt").write_text(
            "".join(f"{numbers[synsets[label]]}\n" for label in labels)
        )
    return labels


def flickr30k_tokens(root: Path, *, test=4, val=3):
    root.mkdir(parents=True, exist_ok=True)
    drawn = scenes(test + val, seed=21)
    names = [f"{number}.jpg" for number in range(test + val)]
    lines = [
        f"{name}#{k}\t{text}"
        for name, scene in zip(names, drawn, strict=True)
        for k, text in enumerate(scene.captions())
    ]
    (root / "results_20130124.token").write_text("\n".join(lines) + "\n")
    (root / "flickr30k_test.txt").write_text("\n".join(n[:-4] for n in names[:test]) + "\n")
    (root / "val.txt").write_text("\n".join(names[test:]) + "\n")


def flickr8k_json(root: Path):
    root.mkdir(parents=True, exist_ok=True)
    entry = {
        "image_id": "7",
        "image_path": "Flicker8k_Dataset/7.jpg",
        "ground_truth": ["a dog  runs .", "the dog"],
        "human_judgement": [
            {"image_path": "Flicker8k_Dataset/7.jpg", "caption": "a  cat .", "rating": 1.0},
            {"image_path": "Flicker8k_Dataset/7.jpg", "caption": "a dog", "rating": float("nan")},
            {"image_path": "Flicker8k_Dataset/7.jpg", "caption": "a dog", "rating": 4.0},
        ],
    }
    for name in ("flickr8k.json", "crowdflower_flickr8k.json"):
        (root / name).write_text(json.dumps({"7": entry}))
