"""The two named sides of a model: image and text unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from distnorm.errors import DistnormError

__all__ = ["Sides"]

_UNCOUNTABLE = ("audio", "video", "speech", "music")


@dataclass(frozen=True)
class Sides:
    """Two different names, and what follows from them.

    Examples
    --------
    >>> sides = Sides.of(("query", "document"))
    >>> sides.resolve("queries"), sides.other("query"), sides.plural("document")
    ('query', 'document', 'documents')
    """

    first: str
    second: str

    @classmethod
    def of(cls, names: object) -> Sides:
        """Check that ``names`` are two different non-empty strings."""
        pair = tuple(names) if isinstance(names, (tuple, list)) else ()
        named = len(pair) == 2 and all(
            isinstance(name, str) and name and name == name.encode(errors="replace").decode()
            for name in pair
        )
        if not named or pair[0] == pair[1]:
            raise DistnormError(f"sides {names!r}", "two different names", "e.g. ('image', 'text')")
        return cls(*pair)

    def resolve(self, name: object) -> str:
        """The side meant by its name or plural."""
        for side in (self.first, self.second):
            if name in (side, self.plural(side)):
                return side
        raise DistnormError(
            f"side {name!r}", f"{self.first!r} or {self.second!r}", "use one of these names"
        )

    def other(self, side: str) -> str:
        """The side opposite to ``side``."""
        return self.second if side == self.first else self.first

    @staticmethod
    def plural(side: str) -> str:
        """What rows of a side are called: images, texts, queries, audio."""
        if side in _UNCOUNTABLE:
            return side
        return side[:-1] + "ies" if side.endswith("y") else side + "s"
