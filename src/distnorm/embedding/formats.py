"""What a file of text is by its beginning: records, a table, a list of pictures, sentences."""

from __future__ import annotations

import json
import re
from pathlib import Path

from distnorm.embedding.cells import is_address
from distnorm.embedding.documents import Records
from distnorm.embedding.items import PICTURES, UNREAD
from distnorm.embedding.separated import Separated, delimiter_of_head, delimiter_of_names
from distnorm.embedding.tables import Reader, fetch_first
from distnorm.errors import DistnormError
from distnorm.system.lines import first_lines

__all__ = [
    "TABLES",
    "as_parquet",
    "check_cells",
    "check_head",
    "check_sentences",
    "reader_of_text",
    "refuse_known",
]

TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
_LINES, _CHARACTERS = 50, 1 << 16
_CELLS = re.compile(r"[\t,;|]")
_NUMBERS = re.compile(r"[-+]?[\d.][\d.eE+-]*([\s,;]+[-+]?[\d.][\d.eE+-]*)+")
_COUNTED = re.compile(r" {2,}\d+ ")  # as uniq -c writes lines
_MARKUP = ("<?xml", "<!doctype", "<html")
_VECTORS = (".npy", ".npz", ".safetensors", ".pt", ".pth", ".h5", ".hdf5")
_CODE = (
    ".xml", ".html", ".htm", ".yaml", ".yml", ".toml", ".py", ".ipynb", ".srt", ".vtt", ".pdf",
    ".docx",
)  # fmt: skip
_SHEETS = {
    ".xlsx": "pandas.read_excel", ".xls": "pandas.read_excel", ".ods": "pandas.read_excel",
    ".pkl": "if you trust it, pandas.read_pickle", ".pickle": "if you trust it, pandas.read_pickle",
}  # fmt: skip
_QUOTED = re.compile(r'\s*"[^"]+",?\s*')
_NUMBERED = re.compile(r"\s*(\d+)[.):]\s+\S")
_ARCHIVES = (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".lz4")
# A value of a list or an object as Python prints it, one per line.
_LITERAL = re.compile(r"[\[{(]?\s*(\d+\s*:\s*|'[^']*'\s*:\s*)?(['\"]).*\2\s*[,\]})]*\s*")


def refuse_known(path: Path) -> None:
    """Raise for files whose names say that they hold neither pictures nor texts to read."""
    end = path.suffix.lower()
    if end in _VECTORS:
        raise DistnormError(
            f"{path}, a file of vectors or arrays by its name",
            "pictures or texts to embed",
            "rows that are embedded go to fit, compare and search as they are (.npy)",
        )
    if end in UNREAD:
        raise DistnormError(
            f"{path}, a picture in a form that is not read",
            ", ".join(PICTURES),
            "convert it to JPEG or PNG",
        )
    if end in (".arrow", ".feather"):
        raise DistnormError(f"{path}, an Arrow file", "Parquet", as_parquet(path))
    if end in _SHEETS:
        raise DistnormError(
            f"{path} of type {end}",
            "a table in .csv, .tsv, .jsonl or .parquet",
            f"{_SHEETS[end]}({str(path)!r}).to_csv('rows.csv', index=False), and name that",
        )
    if end in _CODE:
        raise DistnormError(
            f"{path} of type {end}", "lines, a table or JSON", "write its texts one per line"
        )
    if end in _ARCHIVES:
        raise DistnormError(f"{path}, an archive", "pictures, texts or a tar file", "unpack it")


def as_parquet(path: Path) -> str:
    """How an Arrow file of `datasets` or pandas becomes Parquet, which is read."""
    if path.suffix.lower() == ".feather":
        return f"pandas.read_feather({str(path)!r}).to_parquet('rows.parquet'), and name that"
    return (
        f"datasets.Dataset.from_file({str(path)!r}).to_parquet('rows.parquet'), and name that (of "
        "vectors: fit, compare and search take the file as it is)"
    )


def reader_of_text(path: Path, label: str | None = None) -> Reader | None:
    """The reader of a file that is a table by its beginning; None for lines.

    ``label`` is what messages call it, if not by its path.
    """
    label = str(path) if label is None else label
    lines = [line for _, line in first_lines(path, _LINES, _CHARACTERS)[0]][:_LINES]
    if not lines:
        return None
    first = lines[0].lstrip()
    if first.lower().startswith(_MARKUP):
        raise DistnormError(
            f"{label}, which is markup", "lines, a table or JSON", "extract the text"
        )
    if first.startswith(("{", "[")):
        kind = _json_kind(first, lines)
        if kind:
            return Records(path, lines=kind == "lines")
    check_sentences(lines, label)
    delimiter = delimiter_of_head(*lines[:2])
    if delimiter is not None:
        return Separated(path, delimiter)
    check_cells(lines, label)
    delimiter = delimiter_of_names(lines)
    if delimiter == "":
        raise DistnormError(
            f"{label}, lines of a picture's name and words after a space",
            "a tab between the two, or one picture or sentence per line",
            "write it as a .tsv with the head: path, tab, caption",
        )
    if delimiter is None:
        _check_columns(lines, label)
        return None
    return Separated(path, delimiter, headed=False)


def check_head(path: Path) -> None:
    """Raise for a table of texts and addresses without a head."""
    lines = [line for _, line in first_lines(path, _LINES, _CHARACTERS)[0]][:_LINES]
    if lines and any(is_address(cell.strip()) for cell in _CELLS.split(lines[0])):
        check_cells(lines, str(path))


def check_sentences(lines: list[str], label: str) -> None:
    """Raise if most lines are addresses."""
    if 2 * sum(is_address(line.strip()) for line in lines) > len(lines):
        raise fetch_first(label)


def check_cells(lines: list[str], label: str) -> None:
    """Raise if most lines are numbers, or texts with an address beside them."""
    beside = [any(is_address(cell.strip()) for cell in _CELLS.split(line)) for line in lines]
    if 2 * sum(beside) > len(lines):
        raise DistnormError(
            f"{label}, lines of texts and addresses",
            "pictures in files, sentences, or a table whose first line names its columns",
            "for the texts alone write the columns' names, url and caption, into the first line; "
            f"fetch the pictures first, such as: img2dataset --url_list {Path(label).name} "
            "--input_format tsv --url_col url --caption_col caption --output_folder photos",
        )
    if 2 * sum(bool(_NUMBERS.fullmatch(line.strip())) for line in lines) > len(lines):
        raise DistnormError(
            f"{label}, lines of numbers",
            "sentences, or paths of pictures",
            "vectors go to fit and compare as they are: numpy.save('rows.npy', "
            f"numpy.loadtxt({Path(label).name!r}))",
        )


def _check_columns(lines: list[str], label: str) -> None:
    """Raise for cells between tabs, and for lines behind their counts, which are no sentences."""
    name = Path(label).name
    rows = [line.split("\t") for line in lines]
    width = len(rows[0])
    if width > 1 and all(len(row) == width for row in rows):
        letters = [sum(map(str.isalpha, "".join(column))) for column in zip(*rows, strict=True)]
        words = letters.index(max(letters)) + 1
        raise DistnormError(
            f"{label}, lines of {width} cells between tabs",
            "sentences, or a table whose first line names its columns",
            f"for one column alone: cut -f{words} {name} > sentences.txt",
        )
    if len(lines) > 1 and all(map(_QUOTED.fullmatch, lines)):
        raise DistnormError(
            f"{label}, lines in quotes",
            "sentences",
            f"leave the quotes out: sed -E 's/^ *\"|\",? *$//g' {name} > sentences.txt",
        )
    if all(map(_COUNTED.match, lines)):
        raise DistnormError(
            f"{label}, lines behind their counts",
            "sentences",
            f"leave the counts out: sed -E 's/^ *[0-9]+ //' {name} > sentences.txt",
        )
    numbers = [int(match[1][:9]) for match in map(_NUMBERED.match, lines) if match is not None]
    first = numbers[0] if len(numbers) == len(lines) > 1 else -1
    if first in (0, 1) and numbers == list(range(first, first + len(numbers))):
        raise DistnormError(
            f"{label}, lines behind their numbers",
            "sentences",
            f"leave the numbers out: sed -E 's/^ *[0-9]+[.):] *//' {name} > sentences.txt",
        )


def _json_kind(first: str, lines: list[str]) -> str:
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # Over several lines: braces and brackets that open an object or a list, and nothing else.
        start = "".join("".join(lines[:3]).split())
        whole = start.startswith(('{"', '["', "[{")) and len(lines) > 1
        printed = all(_LITERAL.fullmatch(line) or line.strip() in "[]{}()" for line in lines)
        return "document" if whole or printed else ""
    if isinstance(value, dict):
        return "lines"
    return "document" if len(lines) == 1 and isinstance(value, list) and value else ""
