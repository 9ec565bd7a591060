"""THumB 1.0: precision and recall of COCO captions as people judge them (Kasai et al. 2022).

Files under the root: ``mscoco_THumB-1.0.jsonl`` and ``mscoco_references.json``, which holds JSON
lines despite its name. 500 images, five captions each: four systems' and a person's.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from distnorm.datasets.base import CaptionJudgements, check_counts, find_file, official, parse_lines
from distnorm.errors import DistnormError
from distnorm.system import schema

__all__ = ["thumb"]

_id = schema.either(schema.text, schema.whole())
_JUDGEMENT = schema.record(
    {
        "seg_id": _id,
        "SYS": schema.text,
        "image": schema.text,
        "hyp": schema.text,
        "human_score": schema.number(),
    }
)
_REFERENCES = schema.record({"seg_id": _id, "refs": schema.list_of(schema.text, low=1)})


@official
def thumb(root: str | Path, *, with_human: bool = True, check: bool = True) -> CaptionJudgements:
    """Captions with their total score; ``with_human`` keeps those that people wrote."""
    files = (
        ("mscoco_THumB-1.0.jsonl", "judgements", _JUDGEMENT),
        ("mscoco_references.json", "references", _REFERENCES),
    )
    rows, references = (
        parse_lines(
            find_file(root, name, what=f"the {what}"),
            partial(schema.parse, form=form, file=name, remedy="get the file again"),
        )
        for name, what, form in files
    )
    if check:
        systems = {row["SYS"] for row in rows}
        check_counts(
            "THumB",
            {"captions": len(rows), "images": len(references), "systems": len(systems)},
            {"captions": [2500], "images": [500], "systems": [5]},
        )
    by_image = {str(row["seg_id"]): tuple(row["refs"]) for row in references}
    rows = [row for row in rows if with_human or row["SYS"] != "Human"]
    keys = list(dict.fromkeys(str(row["seg_id"]) for row in rows))
    missing = next((key for key in keys if key not in by_image), None)
    if missing is not None:
        raise DistnormError(f"image {missing} without references", "one line each", "get the file")
    place = {key: row for row, key in enumerate(keys)}
    names = {str(row["seg_id"]): str(row["image"]) for row in rows}
    return CaptionJudgements(
        "thumb",
        tuple(names[key] for key in keys),
        tuple(str(row["hyp"]) for row in rows),
        np.array([place[str(row["seg_id"])] for row in rows], dtype=np.intp),
        np.array([row["human_score"] for row in rows], dtype=np.float64),
        tuple(by_image[key] for key in keys),
        tuple(str(row["SYS"]) for row in rows),
    )
