"""Flickr30K in its original files (Young et al. 2014).

Files under the root: ``results_20130124.token`` (five captions of 31,783 images), and a list of a
split's images, one per line, with or without ``.jpg``: ``flickr30k_test.txt``, or ``test.txt`` as
Flickr30K Entities (Plummer et al. 2015) names it. `distnorm.datasets.karpathy` reads the same
split from ``dataset_flickr30k.json``.
"""

from __future__ import annotations

from pathlib import Path

from distnorm.datasets.base import (
    RetrievalSet,
    check_split,
    find_file,
    official,
    parse_lines,
    retrieval_set,
)
from distnorm.datasets.flickr8k import token_captions
from distnorm.errors import DistnormError

__all__ = ["flickr30k"]

# Karpathy's validation split has 1,014 images, that of Entities 1,000.
_COUNTS = {"train": (29000, 29783), "val": (1014, 1000), "test": (1000,)}


@official
def flickr30k(root: str | Path, split: str = "test", *, check: bool = True) -> RetrievalSet:
    """Images of a split (train, val or test) with their five captions each."""
    check_split(split, _COUNTS)
    path = find_file(root, f"flickr30k_{split}.txt", f"{split}.txt", what="the split's images")
    images = tuple(
        name if name.endswith(".jpg") else f"{name}.jpg" for name in parse_lines(path, str.strip)
    )
    captions = token_captions(find_file(root, "results_20130124.token", what="the captions"))
    missing = next((image for image in images if image not in captions), None)
    if missing is not None:
        raise DistnormError(
            f"{missing} of {path} without captions", "all in the token file", "get both again"
        )
    published = {"images": _COUNTS[split], "captions": [5 * n for n in _COUNTS[split]]}
    texts = [captions[image] for image in images]
    return retrieval_set(f"Flickr30K {split}", images, texts, published if check else {})
