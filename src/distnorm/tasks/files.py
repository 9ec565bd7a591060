"""What tasks read beside vectors: labels, judgements, rows of pairs, and lines of text.

Numbers come from a .npy, one per line of a text file (.csv and .tsv: the last column; a head is
skipped), or the last column of a .parquet; texts from the lines or the last column.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distnorm.errors import DistnormError, require
from distnorm.system.files import missing_file
from distnorm.system.lines import text_lines

__all__ = ["read_lines", "read_numbers", "read_rows"]


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Read texts, stripped of spaces around them."""
    target = Path(path)
    if not target.exists():
        raise missing_file(target)
    if target.suffix == ".parquet":
        table = require("pyarrow.parquet", "parquet").read_table(target)
        lines = [str(value) for value in table.column(table.num_columns - 1).to_pylist()]
    else:
        lines = list(text_lines(target))
    if not lines:
        raise DistnormError(f"{target} without a line", "one text per line", "fill it")
    return [line.strip() for line in lines]


def read_numbers(path: str | os.PathLike[str]) -> npt.NDArray[np.float64]:
    """Read a vector of finite numbers."""
    target = Path(path)
    if not target.exists():
        raise missing_file(target)
    try:
        if target.suffix == ".npy":
            values = np.asarray(np.load(target, allow_pickle=False), dtype=np.float64)
        elif target.suffix == ".parquet":
            table = require("pyarrow.parquet", "parquet").read_table(target)
            values = np.asarray(table.column(table.num_columns - 1).to_numpy(), dtype=np.float64)
        else:
            lines = text_lines(target)
            cells = [re.split(r"[,\t]", line)[-1].strip() for line in lines if line.strip()]
            head = cells and not re.match(r"[-+.\d]|nan|inf", cells[0], re.IGNORECASE)
            values = np.array([float(cell) for cell in cells[1 if head else 0 :]])
    except (ValueError, OSError, EOFError) as error:
        raise DistnormError(f"{target}, unreadable", "numbers", "one per line, or .npy") from error
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DistnormError(
            f"{target} of shape {values.shape}", "a vector of finite numbers", "one per row"
        )
    return values


def read_rows(path: str | os.PathLike[str]) -> npt.NDArray[np.intp]:
    """Read a vector of whole numbers: classes, or the row that each row belongs to."""
    target = Path(path)
    if target.suffix == ".npy" and target.exists():
        try:
            rows = np.load(target, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DistnormError(
                f"{target}, unreadable", "whole numbers", "one per line, or .npy"
            ) from error
    else:
        numbers = read_numbers(target)
        rows = numbers.astype(np.int64) if (numbers == np.floor(numbers)).all() else numbers
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DistnormError(
            f"{target} of shape {rows.shape} and dtype {rows.dtype}",
            "a vector of whole numbers",
            "give the image row of each text",
        )
    return np.asarray(rows, dtype=np.intp)
