"""Flickr8k: captions, splits, and the judgements of experts and of the crowd (Hodosh et al. 2013).

Files under the root: ``Flickr8k.token.txt``, ``Flickr_8k.{train,dev,test}Images.txt``,
``ExpertAnnotations.txt``, ``CrowdFlowerAnnotations.txt`` (or ``CrowdFlowerAnnotations.clean.txt``
without its malformed rows). The protocol for judgements is that of CLIPScore (Hessel et al. 2021):
experts' judgements of an image's own captions are left out, and each expert's score counts on its
own; the crowd's are kept, the judged captions leave the references, and the score is the share of
yes. BLEU and CIDEr then agree with the published correlations.

The JSON form of the judgements is what CLIPScore's preparation writes and others share:
``flickr8k.json`` (experts) and ``crowdflower_flickr8k.json`` (crowd) map each image to its
``image_path``, its ``ground_truth`` captions and its ``human_judgement``, a list of ``caption``
and ``rating``. White space in captions is folded, and ratings that are NaN are left out, as all
evaluations do.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

import numpy as np

from distnorm.datasets.base import (
    CaptionJudgements,
    RetrievalSet,
    check_counts,
    check_split,
    find_file,
    official,
    parse_lines,
    read_json,
    retrieval_set,
)
from distnorm.errors import DistnormError

__all__ = ["flickr8k", "flickr8k_crowdflower", "flickr8k_expert", "flickr8k_json", "token_captions"]

_FILES = {
    "expert": ("flickr8k.json", (16992,)),
    "crowdflower": ("crowdflower_flickr8k.json", (47830,)),
}
_SPLITS = {"train": 6000, "dev": 1000, "test": 1000}


@official
def flickr8k(root: str | Path, split: str = "test", *, check: bool = True) -> RetrievalSet:
    """Images of a split (train, dev or test) with their five captions each."""
    check_split(split, _SPLITS)
    path = find_file(root, f"Flickr_8k.{split}Images.txt", what="the split")
    images = parse_lines(path, str.strip)
    captions = _captions(root)
    published = {"images": [_SPLITS[split]], "captions": [5 * _SPLITS[split]]}
    texts = [captions.get(image, ()) for image in images]
    return retrieval_set(f"Flickr8k {split}", images, texts, published if check else {})


@official
def flickr8k_expert(root: str | Path, *, check: bool = True) -> CaptionJudgements:
    """5,664 pairs of image and caption with three experts' scores of 1 to 4 each: 16,992."""
    path = find_file(root, "ExpertAnnotations.txt", what="the experts' judgements")

    def parse(line: str) -> tuple[str, str, tuple[float, ...]]:
        image, caption, *scores = line.split("\t")
        if len(scores) != 3:
            raise ValueError(line)
        values = tuple(float(score) for score in scores)
        if not all(map(math.isfinite, values)):
            raise ValueError(line)
        return image, caption, values

    rows = [row for row in parse_lines(path, parse) if not row[1].startswith(row[0])]
    if check:
        check_counts("Flickr8k-Expert", {"pairs": len(rows)}, {"pairs": [5664]})
    return _judged("flickr8k-expert", root, rows)


@official
def flickr8k_crowdflower(root: str | Path, *, check: bool = True) -> CaptionJudgements:
    """47,830 pairs of image and caption with the share of at least three people who said yes."""
    names = ("CrowdFlowerAnnotations.txt", "CrowdFlowerAnnotations.clean.txt")
    path = find_file(root, *names, what="the crowd's judgements")

    def parse(line: str) -> tuple[str, str, tuple[float, ...]]:
        image, caption, _, *votes = line.split("\t")
        yes, no = map(int, votes)
        if min(yes, no) < 0:
            raise ValueError(line)
        return image, caption, (yes / (yes + no),)

    rows = parse_lines(path, parse)
    if check:
        # The published 47,830, and what is left without the rows that are malformed.
        check_counts("Flickr8k-CF", {"pairs": len(rows)}, {"pairs": [47830, 47288]})
    return _judged("flickr8k-cf", root, rows, own_are_references=False)


def _judged(
    name: str,
    root: str | Path,
    rows: list[tuple[str, str, tuple[float, ...]]],
    *,
    own_are_references: bool = True,
) -> CaptionJudgements:
    by_image = _captions(root)
    images = tuple(dict.fromkeys(image for image, _, _ in rows))
    place = {image: row for row, image in enumerate(images)}
    texts, owner, human = [], [], []
    for image, caption, scores in rows:
        source, _, number = caption.partition("#")
        for score in scores:
            if not (number.isdecimal() and int(number) < len(by_image.get(source, ()))):
                raise DistnormError(
                    f"a judgement of {caption!r}, a caption that Flickr8k.token.txt lacks",
                    "captions of the same release",
                    "get both files again",
                )
            texts.append(by_image[source][int(number)])
            owner.append(place[image])
            human.append(score)
    lacking = next((image for image in images if image not in by_image), None)
    if lacking is not None:
        raise DistnormError(f"{lacking} without captions", "some of each image", "get the files")
    references = [list(by_image[image]) for image in images]
    if not own_are_references:
        for text, row in zip(texts, owner, strict=True):
            if text in references[row]:
                references[row].remove(text)
    return CaptionJudgements(
        name,
        images,
        tuple(texts),
        np.array(owner, dtype=np.intp),
        np.array(human, dtype=np.float64),
        tuple(map(tuple, references)),
    )


def token_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Captions of each image in a token file, in the order of their numbers."""

    def parse(line: str) -> tuple[str, int, str]:
        key, text = line.split("\t", 1)
        image, _, number = key.partition("#")
        return image, int(number), text.strip()

    captions: dict[str, dict[int, str]] = {}
    for image, number, text in parse_lines(path, parse):
        captions.setdefault(image, {})[number] = text
    return {image: tuple(texts[n] for n in sorted(texts)) for image, texts in captions.items()}


def _captions(root: str | Path) -> dict[str, tuple[str, ...]]:
    return token_captions(find_file(root, "Flickr8k.token.txt", what="the captions"))


@official
def flickr8k_json(
    root: str | Path, name: str = "expert", *, check: bool = True
) -> CaptionJudgements:
    """Judgements, "expert" or "crowdflower", with the references that the file itself holds."""
    if name not in _FILES:
        raise DistnormError(f"judgements {name!r}", f"one of {', '.join(_FILES)}", "rename it")
    file, published = _FILES[name]
    path = find_file(root, file, what="the judgements")
    content = read_json(path)
    images, references, texts, owner, human = [], [], [], [], []
    try:
        for row, entry in enumerate(content.values()):
            images.append(PurePosixPath(entry["image_path"]).name)
            references.append(tuple(" ".join(text.split()) for text in entry["ground_truth"]))
            for judged in entry["human_judgement"]:
                if math.isnan(float(judged["rating"])):
                    continue
                texts.append(" ".join(judged["caption"].split()))
                owner.append(row)
                human.append(float(judged["rating"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DistnormError(f"{path}, unreadable", "CLIPScore's format", "get the file") from error
    if check:
        check_counts(path.name, {"judgements": len(human)}, {"judgements": published})
    return CaptionJudgements(
        "flickr8k-expert" if name == "expert" else "flickr8k-cf",
        tuple(images),
        tuple(texts),
        np.array(owner, dtype=np.intp),
        np.array(human, dtype=np.float64),
        tuple(references),
    )
