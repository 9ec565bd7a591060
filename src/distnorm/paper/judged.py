"""Where the files of the judged captions lie, and how they become `JudgedData`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distnorm import datasets
from distnorm.datasets.base import CaptionJudgements
from distnorm.errors import DistnormError
from distnorm.paper.paired import flickr8k_folders
from distnorm.paper.prepared import (
    Context,
    JudgedData,
    PairedData,
    another_split,
    paired_data,
    picture_paths,
)

__all__ = ["load_crowd", "load_expert", "load_pascal50s", "load_thumb"]


def load_expert(root: Path, context: Context) -> JudgedData:
    """Experts, from the JSON form where it is there, else the text files."""
    if (root / "flickr8k.json").is_file():
        judged = datasets.flickr8k_json(root, "expert", check=context.check)
    else:
        judged = datasets.flickr8k_expert(root, check=context.check)
    return _judged_flickr8k(root, judged)


def load_crowd(root: Path, context: Context) -> JudgedData:
    """The crowd, from the JSON form where it is there, else the text files."""
    if (root / "crowdflower_flickr8k.json").is_file():
        judged = datasets.flickr8k_json(root, "crowdflower", check=context.check)
    else:
        judged = datasets.flickr8k_crowdflower(root, check=context.check)
    return _judged_flickr8k(root, judged)


def _judged_flickr8k(root: Path, judged: CaptionJudgements) -> JudgedData:
    folders = flickr8k_folders(root)

    def unjudged() -> PairedData:
        """Images of the development and training splits that nobody judged, nor their texts."""
        known, said = set(judged.images), {" ".join(text.split()) for text in judged.captions}
        names: list[str] = []
        texts: list[str] = []
        owner: list[int] = []
        for split in ("dev", "train"):
            try:
                found = datasets.flickr8k(root, split, check=False)
            except DistnormError:
                continue
            for row, name in enumerate(found.images):
                own = [found.texts[at] for at in np.flatnonzero(found.image_of_text == row)]
                own = [text for text in own if " ".join(text.split()) not in said]
                if name not in known and own:
                    texts += own
                    owner += [len(names)] * len(own)
                    names.append(name)
            if names:
                break
        if not names:
            raise DistnormError("no image that nobody judged", "another split", "get it")
        return PairedData(
            picture_paths(names, *folders), tuple(texts), np.array(owner, dtype=np.intp)
        )

    return JudgedData(
        judged, lambda: picture_paths(judged.images, *folders), lambda: another_split(unjudged)
    )


def load_thumb(root: Path, context: Context) -> JudgedData:
    """THumB, with pictures of its own or COCO's; COCO's validation split for statistics."""
    judged = datasets.thumb(root, check=context.check)
    coco = context.data / "coco"
    folders = (root / "images", root, coco / "val2014", coco / "images")

    def validation() -> PairedData:
        found = datasets.karpathy(coco, "coco", "val", check=False)
        return paired_data(found, coco, coco / "images")

    return JudgedData(
        judged, lambda: picture_paths(judged.images, *folders), lambda: another_split(validation)
    )


def load_pascal50s(root: Path, context: Context) -> JudgedData:
    """Pascal-50S; statistics are held out."""
    pairs = datasets.pascal50s(root, check=context.check)
    folders = ("images", "VOC2010/JPEGImages", "VOCdevkit/VOC2010/JPEGImages", "")
    return JudgedData(
        pairs, lambda: picture_paths(pairs.images, *(root / name for name in folders))
    )
