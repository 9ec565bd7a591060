"""Flickr8k's judgements in the JSON form that CLIPScore's preparation writes and others share.

``flickr8k.json`` (experts) and ``crowdflower_flickr8k.json`` (crowd) map each image to its
``image_path``, its ``ground_truth`` captions and its ``human_judgement``, a list of ``caption``
and ``rating``; `distnorm.datasets.flickr8k` makes the same of the original text files. White space
in captions is folded, and ratings that are NaN are left out, as all evaluations do.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

import numpy as np

from distnorm.datasets.base import CaptionJudgements, check_counts, read_json, wanted_file
from distnorm.errors import DistnormError

__all__ = ["flickr8k_json"]

_FILES = {
    "expert": ("flickr8k.json", (16992,)),
    "crowdflower": ("crowdflower_flickr8k.json", (47830,)),
}


def flickr8k_json(
    root: str | Path, name: str = "expert", *, check: bool = True
) -> CaptionJudgements:
    """Judgements with the references that the file itself holds.

    Parameters
    ----------
    root : path
        Folder with ``flickr8k.json`` or ``crowdflower_flickr8k.json``.
    name : {"expert", "crowdflower"}
    check : bool
        Compare the number of judgements with the published one.

    Raises
    ------
    DistnormError
        For a missing or damaged file, or another count.
    """
    if name not in _FILES:
        raise DistnormError(f"judgements {name!r}", f"one of {', '.join(_FILES)}", "rename it")
    file, published = _FILES[name]
    path = wanted_file(root, file, what="the judgements")
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
