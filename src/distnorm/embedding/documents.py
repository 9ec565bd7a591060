"""Records of JSON: one per line, or a document of a known form.

| form | what is read |
|---|---|
| JSON lines, or a list, of objects | fields as columns of a table: ``file_name``, ``text`` ... |
| JSON lines, or a list, of strings | sentences |
| COCO's captions | ``images`` with their ``annotations`` |
| Karpathy's splits | ``images`` with their ``sentences`` |
| an object of pictures' names | each with its caption or captions |

Anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from distnorm.embedding.cells import PATHS, TEXTS, names_a_picture
from distnorm.errors import DistnormError
from distnorm.system.json_rows import json_error, json_values, rows_of
from distnorm.system.lines import text_lines
from distnorm.tasks.foils import foil_field, say_foils_left_out

__all__ = ["Records"]

_PEEK = 100
_VECTORS = ("embedding", "embeddings", "vector", "vectors", "emb")
_FORMS = "JSON lines or a list of objects such as {file_name, text}, or COCO's captions"
_REMEDY = "save its texts one per line, or as a CSV with a column caption"


class Records:
    """A file of JSON records; rows are numbered from 1 on."""

    strict = beside = holds_bytes = False
    aside: tuple[str, ...] = ()

    def __init__(self, path: Path, *, lines: bool) -> None:
        self.path, self.kind = path, "jsonl" if lines else "json"
        self._kept: list[Any] | None = None
        self.above = False
        if not lines:
            self._kept, self.above = _document(path)
        first = list(islice(self._records(), _PEEK))
        if not first:
            raise DistnormError(f"{path} without records", _FORMS, _REMEDY)
        self.head: tuple[str, ...] = tuple(
            dict.fromkeys(name for record in first for name in record)
        )
        self.worded = tuple(range(len(self.head)))
        low = {name.strip().lower() for name in self.head}
        if not low & {*PATHS, *TEXTS} and low & set(_VECTORS):
            field = next(name for name in self.head if name.strip().lower() in _VECTORS)
            raise DistnormError(
                f"{path}, records of vectors ({field!r})",
                "pictures or texts to embed",
                f"they are embedded already: numpy.save('rows.npy', [json.loads(line)[{field!r}] "
                f"for line in open({path.name!r})]) makes a file that fit and compare take",
            )

    def rows(self, fields: tuple[int, ...]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Number and fields of every record, None for one that it has not."""
        names = [self.head[at] for at in fields]
        for number, record in enumerate(self._records(), start=1):
            yield number, tuple(record.get(name) for name in names)

    def _records(self) -> Iterator[dict[str, Any]]:
        values = self._lines() if self._kept is None else enumerate(self._kept, start=1)
        for number, value in values:
            if isinstance(value, str):
                value = {"caption": value}
            if not isinstance(value, dict):
                raise DistnormError(
                    f"{type(value).__name__} as record {number} of {self.path}", _FORMS, _REMEDY
                )
            yield value

    def _lines(self) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(text_lines(self.path), start=1):
            if line.strip():
                yield number, _parsed(line, f"line {number} of {self.path}")


def _document(path: Path) -> tuple[list[Any] | None, bool]:
    """A document's records (None: it has one per line), and whether it is COCO's."""
    # Lines of JSON often go by the name .json.
    first = next((line for line in text_lines(path) if line.strip()), "")
    try:
        if len(first) < path.stat().st_size - 2 and isinstance(json.loads(first), dict | str):
            return None, False
    except (ValueError, RecursionError):
        pass
    value = json_values(path)
    if isinstance(value, list):
        return value, False
    if isinstance(value, dict):
        images, notes = value.get("images"), value.get("annotations")
        if isinstance(notes, list):
            say_foils_left_out(path, value)
            return list(_coco(images, notes, path)), True
        if isinstance(images, list) and any(
            isinstance(image, dict) and "sentences" in image for image in images[:1]
        ):
            return list(_karpathy(images)), True
        if value and all(names_a_picture(str(name)) for name in islice(value, _PEEK)):
            return [{"file_name": name, "caption": text} for name, text in value.items()], False
        rows = rows_of(value)
        if rows is not None and all(isinstance(row, dict | str) for row in rows):
            return rows, False
    raise DistnormError(f"{path}, JSON of another form", _FORMS, _REMEDY)


def _coco(images: Any, notes: list[Any], path: Path) -> Iterable[dict[str, Any]]:
    texts: dict[Any, list[Any]] = {}
    for note in notes:
        if not isinstance(note, dict) or "caption" not in note:
            raise DistnormError(
                f"{path} whose annotations have no caption",
                "COCO's captions, such as captions_val2017.json",
                "name the file of captions",
            )
        flag = foil_field(note)
        if flag is not None:
            raise DistnormError(
                f"{path} with foils among its captions, such as {note['caption']!r:.60} ({flag!r})",
                "true captions",
                f"leave them out: c = json.loads(Path({path.name!r}).read_text()); "
                f"c['annotations'] = [a for a in c['annotations'] if not a.get({flag!r})]; "
                "Path('captions.json').write_text(json.dumps(c)); to score foils, too, is: "
                "distnorm evaluate captions --captions",
            )
        texts.setdefault(str(note.get("image_id")), []).append(note["caption"])
    if not isinstance(images, list) or not images:
        yield from ({"caption": part} for part in texts.values())
        return
    for image in images:
        if isinstance(image, dict):
            own = texts.pop(str(image.get("id")), [])
            yield {"file_name": image.get("file_name"), "caption": own}
    # Captions of pictures that are not listed: rows without a picture, which are counted.
    for part in texts.values():
        yield {"file_name": None, "caption": part}


def _karpathy(images: list[Any]) -> Iterable[dict[str, Any]]:
    for image in images:
        if isinstance(image, dict):
            name, folder = str(image.get("filename") or ""), str(image.get("filepath") or "")
            place = f"{folder}/{name}" if folder and name else name
            yield {"file_name": place, "caption": image.get("sentences")}


def _parsed(line: str, label: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise json_error(label, error) from error
