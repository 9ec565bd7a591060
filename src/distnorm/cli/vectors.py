"""How commands read files of vectors: which array of several, and whether rows are normalized."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.groups import option
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["VectorOptions", "check_distinct", "check_lines"]


@dataclass(frozen=True)
class VectorOptions:
    """How files of vectors are read."""

    key: str | None = option(
        "--key",
        metavar="NAME",
        help="Array or column of files that hold several; or image=NAME,text=NAME.",
    )
    normalize: bool = option(
        "--normalize", is_flag=True, help="Give rows unit length: of raw or shortened vectors."
    )

    def keys(self, *sides: str, bare: str | None = None) -> dict[str, str]:
        """The name of each side's array or column; one without a side is of ``bare``, or of all."""
        if self.key is None:
            return {}
        if "=" not in self.key:
            return dict.fromkeys(sides if bare is None else (bare,), self.key)
        pairs = [part.partition("=") for part in self.key.split(",")]
        found = {side.strip(): name.strip() for side, _, name in pairs}
        for side, name in found.items():
            if side not in sides or not name:
                raise DistnormError(
                    f"--key {self.key}", f"NAME, or {'=NAME,'.join(sides)}=NAME", "write it so"
                )
        return found

    def check_used(self, files: str, given: bool) -> None:
        """Raise if there is a key, but none of the ``files`` that it could be of."""
        if self.key is not None and not given:
            raise click.UsageError(f"--key says how {files} are read: give one, or leave it out")

    def rows(self, path: str | os.PathLike[str], side: str, *others: str) -> Any:
        """Vectors of one side; ``others`` are the names that `key` may also speak of."""
        return self.sides({side: path}, *others)[side]

    def sides(self, paths: Mapping[str, str | os.PathLike[str]], *others: str) -> dict[str, Any]:
        """Vectors of several sides, of one state of a store where they come from one."""
        from distnorm.store.vectors import read_sides

        rows = read_sides(paths, self.keys(*paths, *others))
        return {side: self.ready(x) for side, x in rows.items()}

    def fitting(
        self, norm: ScoreNormalization, paths: Mapping[str, str], *others: str
    ) -> dict[str, Any]:
        """`sides` that a normalization is used on; raises for stores of another model."""
        from distnorm.store.models import check_models

        check_models(norm, *paths.values())
        return self.sides(paths, *others)

    def ready(self, rows: Any) -> Any:
        """Rows as they are, or of unit length."""
        from distnorm.arrays import normalize

        return normalize(rows) if self.normalize else rows

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are called."""
        return "image", "text"

    def two(self, images: str, texts: str) -> tuple[Any, Any]:
        """Rows of the first and of the second side."""
        one, two = self.names
        rows = self.sides({one: images, two: texts})
        return rows[one], rows[two]

    def fitted_on(self, images: str | None, texts: str | None) -> dict[str, Any]:
        """Rows of ``--fit-images`` and ``--fit-texts``, under these names; None if left out."""
        one, two = self.names
        given = {side: path for side, path in ((one, images), (two, texts)) if path is not None}
        rows = self.sides(given, one, two) if given else {}
        return {"fit_images": rows.get(one), "fit_texts": rows.get(two)}


def check_lines(path: str | None) -> None:
    """Raise for a store of texts that does not hold line i of its list in row i."""
    if path is None:
        return
    from distnorm.store.listed import check_in_order

    check_in_order(
        path,
        "embed pictures and captions together, as one table, and name that store for both; or save "
        "a row per line: numpy.save('rows.npy', distnorm.encoders.load_encoder(MODEL)"
        ".encode_texts(lines))",
    )


def check_distinct(images: str, texts: str, first: Any, second: Any) -> None:
    """Raise if one file's only matrix would be compared with itself."""
    one, two = Path(images), Path(texts)
    same = one.is_file() and two.is_file() and one.samefile(two) and first.shape == second.shape
    if same and (first[: 1 << 10] == second[: 1 << 10]).all():
        raise DistnormError(
            f"{images} for images and texts alike, with the same rows for both",
            "rows of two sides",
            "name the other file, or the two arrays: --key image=NAME,text=NAME; a matrix of "
            "scores goes to: distnorm evaluate retrieval --scores FILE",
        )
    square = first.shape == second.shape == first.shape[:1] * 2
    if square and (first == second.T).all():
        raise DistnormError(
            f"{images} and {texts}, one matrix and its transpose",
            "embeddings of two sides",
            "a matrix of scores goes to: distnorm evaluate retrieval --scores FILE",
        )
