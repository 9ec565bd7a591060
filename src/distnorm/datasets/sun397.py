"""SUN397, scenes (Xiao et al. 2010).

Under the root: the pictures as unpacked (``a/abbey/sun_*.jpg`` in ``SUN397/`` or the root),
``ClassName.txt``, and the official partitions ``Training_01.txt`` ... ``Testing_10.txt`` (in the
root or ``Partitions/``), 19,850 pictures per side. Indoor and outdoor views of one place stay
apart: ``/a/athletic_field/outdoor`` is "outdoor athletic field".
"""

from __future__ import annotations

from pathlib import Path

from distnorm.datasets.base import (
    LabelledImages,
    find_file,
    find_folder,
    labelled_images,
    official,
    parse_lines,
)
from distnorm.errors import DistnormError

__all__ = ["sun397", "sun397_name"]

_FILES = {"train": "Training", "test": "Testing"}


@official
def sun397(
    root: str | Path, split: str = "test", *, partition: int = 1, check: bool = True
) -> LabelledImages:
    """Images of one side (train or test) of an official partition.

    ``partition`` is 1 to 10; papers report the first, or the mean of all.
    """
    if split not in _FILES or not 1 <= partition <= 10:
        raise DistnormError(
            f"split {split!r} of partition {partition}", "train or test of 1 to 10", "rename it"
        )
    folder = find_folder(root, "SUN397", "", what="the images")
    lists = []
    for name in ("ClassName.txt", f"{_FILES[split]}_{partition:02d}.txt"):
        path = find_file(root, name, f"SUN397/{name}", f"Partitions/{name}", what=name)
        lists.append(parse_lines(path, str.strip))
    classes, lines = lists
    row = {name: number for number, name in enumerate(classes)}
    strange = next((line for line in lines if line.rpartition("/")[0] not in row), None)
    if strange is not None:
        raise DistnormError(f"{strange} of no class in ClassName.txt", "a class", "get both files")
    below = folder.relative_to(root)
    return labelled_images(
        f"SUN397 {split}",
        [(below / line.lstrip("/")).as_posix() for line in lines],
        [row[line.rpartition("/")[0]] for line in lines],
        [sun397_name(name) for name in classes],
        (19850, 397) if check else None,
    )


def sun397_name(name: str) -> str:
    """``/b/bakery/shop`` as a prompt says it: the qualifier first.

    Examples
    --------
    >>> sun397_name("/a/athletic_field/outdoor"), sun397_name("/a/abbey")
    ('outdoor athletic field', 'abbey')
    """
    parts = [part.replace("_", " ") for part in name.strip("/").split("/")[1:]]
    return " ".join(reversed(parts))
