"""Which of several matrices in a file, or of several series of shards, is a side's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from distnorm.errors import DistnormError, DistnormWarning

__all__ = ["called_vectors", "check_names", "choose", "speaks_of_vectors", "without_key"]

_ALIASES = {
    "image": {"image", "img", "photo", "picture", "pic", "visual", "vision", "pixel"},
    "text": {"text", "txt", "caption", "sentence", "title", "language", "word", "prompt"},
}
_USUAL = ("embedding", "emb", "vector", "embeddings", "vectors", "features")


def choose(names: Sequence[str], path: Path, side: str, key: str | None) -> str:
    """The name that ``key`` says, or that is the side's, or the only one that can be meant."""
    if list(names) == [""]:
        if key is not None:
            raise without_key(key, path, side)
        return ""
    if key is not None:
        if key in names:
            return key
        raise _unclear(
            names, path, repr(key), f"pass one of these names with --key (key=), {side}="
        )
    own = [name for name in names if side in _sides_of(name, side)]
    free = [name for name in names if not _sides_of(name, side)]
    for exact in (side, f"{side}s", *(f"{side}_{usual}" for usual in _USUAL)):
        if exact in own:
            return exact
    usual = [name for name in free if name.lower() in _USUAL]
    for group in (own, usual, free if len(names) == 1 else []):
        if len(group) == 1:
            return group[0]
        if group:
            break
    first = next(iter([*own, *free, *names]), "NAME")
    raise _unclear(
        names,
        path,
        f"one that is plainly the {side} side's",
        f"name it: --key {side}={first} (key={first!r} in Python)",
    )


def without_key(key: str, place: Path | str, side: str) -> DistnormError:
    """What says that a key is given for what has one matrix of a side, without a name."""
    return DistnormError(
        f"the key {key!r} for {place}, whose {side} rows have no name",
        "a file of several named arrays or columns",
        "leave the key out, or give it to the side whose file has it: --key SIDE=NAME",
    )


def check_names(names: Mapping[str, Sequence[str]]) -> None:
    """Look whether the names of two sides' files or arrays speak of the other side instead.

    Of paths the last part counts. Raises if all names of both sides do, and warns if those of one
    do.
    """
    if len(names) != 2:
        return
    one, two = names
    other = {one: two, two: one}
    crossed = []
    for side, given in names.items():
        # The ending of a list of sentences is no word of its name.
        words = [re.sub(r"\.te?xt$", "", Path(name).name, flags=re.IGNORECASE) for name in given]
        spoken = [_sides_of(word, side, other[side]) for word in words]
        if given and all(other[side] in found and side not in found for found in spoken):
            crossed.append(side)
    if len(crossed) == 2:
        raise DistnormError(
            f"{names[one][0]} for the {one} side and {names[two][0]} for the {two} side",
            "names that do not speak of the other side",
            "swap the two inputs, or rename them if they hold what you say",
        )
    for side in crossed:
        note = f"{names[side][0]} is taken for the {side} side, and its name says {other[side]}"
        warnings.warn(f"{note}: are the sides swapped?", DistnormWarning, stacklevel=3)


def speaks_of_vectors(name: str) -> bool:
    """Whether a column's name has a word such as embedding in it."""
    return any(word in _USUAL for word in re.split(r"[^a-z]+", name.lower()))


def called_vectors(name: str) -> bool:
    """Whether a column is called embedding, text_vector or so: by such a word, behind a side's."""
    words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return words[-1] in _USUAL and (len(words) == 1 or bool(_sides_of(name)))


def _sides_of(name: str, *sides: str) -> set[str]:
    """The sides that words of a name speak of, among image, text and those asked for."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = {word.lower() for word in re.split(r"[^A-Za-z]+", spaced) if word}
    words |= {word.removesuffix("s") for word in words}
    known = {
        **_ALIASES,
        **{s: _ALIASES.get(s, {s.lower(), s.lower().removesuffix("s")}) for s in sides},
    }
    return {one for one, aliases in known.items() if words & aliases}


def _unclear(names: Sequence[str], path: Path, expected: str, remedy: str) -> DistnormError:
    if not names:
        return DistnormError(
            f"{path} without a matrix of numbers",
            "rows of embeddings",
            "of words, embed them first: distnorm embed FILE --model MODEL --out STORE; of "
            "vectors, save the matrix with numpy.save",
        )
    shown = ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")
    return DistnormError(f"{path} with {shown}", expected, remedy)
