"""Groups of options that several commands share: each reaches the command as one dataclass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.comparison import Protocol
    from distnorm.normalization import ScoreNormalization

__all__ = [
    "CaptionInput",
    "ClassInput",
    "MethodOptions",
    "PairInput",
    "ProtocolOptions",
    "input_option",
    "make_norm",
    "options_of",
    "parse_ks",
    "split_methods",
    "strength_option",
    "threshold_options",
]

Command = Callable[..., Any]

strength_option = click.option("--strength", help="A number, or image=0.25,text=0.5.")
input_option = click.option("--input", type=click.Choice(["unit", "raw", "any"]))
_IMAGES = click.option("--images", required=True, type=click.Path(), help="Image embeddings.")
_FIT_ROWS = (
    click.option("--fit-images", type=click.Path(), help="Images that give the statistics."),
    click.option("--fit-texts", type=click.Path(), help="Texts that give the statistics."),
)


def options_of(group: type[Any], name: str) -> Callable[[Command], Command]:
    """Add the ``OPTIONS`` of a dataclass; the command gets an instance as keyword ``name``."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def collected(*args: Any, **values: Any) -> Any:
            own = {field.name: values.pop(field.name) for field in fields(group)}
            return command(*args, **values, **{name: group(**own)})

        for option in reversed(group.OPTIONS):
            collected = option(collected)
        return collected

    return add


def threshold_options(command: Command) -> Command:
    """Add ``--threshold`` and ``--false-alarm-rate``."""
    rate = click.option(
        "--false-alarm-rate", type=float, help="The same at a calibrated rate, e.g. 0.001."
    )
    above = click.option("--threshold", type=float, help="Also decisions: a match is above this.")
    return above(rate(command))


@dataclass(frozen=True)
class PairInput:
    """Images and texts that belong together."""

    OPTIONS = (
        _IMAGES,
        click.option("--texts", required=True, type=click.Path(), help="Text embeddings."),
        click.option(
            "--image-of-text", type=click.Path(), help="Image row of each text (.npy, .txt)."
        ),
    )
    images: str
    texts: str
    image_of_text: str | None

    def read(self) -> tuple[Any, Any, Any]:
        """Image rows, text rows, and the image row of each text or None."""
        return _rows(self.images, "image"), _rows(self.texts, "text"), _numbers(self.image_of_text)


@dataclass(frozen=True)
class ClassInput:
    """Images, classes, and which class each image shows."""

    OPTIONS = (
        _IMAGES,
        click.option("--classes", required=True, type=click.Path(), help="One text row per class."),
        click.option(
            "--labels", required=True, type=click.Path(), help="Class row of each image, from 0."
        ),
        click.option(
            "--class-names", type=click.Path(), help="One name per line: shared ones are reported."
        ),
    )
    images: str
    classes: str
    labels: str
    class_names: str | None

    @property
    def texts(self) -> str:
        """The file of the text side."""
        return self.classes

    def read(self) -> tuple[Any, Any, Any]:
        """Image rows, class rows, labels."""
        return _rows(self.images, "image"), _rows(self.classes, "text"), _numbers(self.labels)

    def repeated_names(self, n_classes: int) -> dict[str, Any]:
        """Names that several classes share, for the JSON; empty without ``--class-names``."""
        from distnorm.tasks.classification import repeated_names
        from distnorm.tasks.files import read_lines

        if self.class_names is None:
            return {}
        names = read_lines(self.class_names)
        if len(names) != n_classes:
            raise DistnormError(
                f"{len(names)} names of {n_classes} classes", "one each", f"mend {self.class_names}"
            )
        return {"repeated_names": repeated_names(names)}


@dataclass(frozen=True)
class CaptionInput:
    """Captions of images, judgements of them, and perhaps references."""

    OPTIONS = (
        _IMAGES,
        click.option("--captions", required=True, type=click.Path(), help="Caption embeddings."),
        click.option(
            "--human", required=True, type=click.Path(), help="Judgement of each caption."
        ),
        click.option("--image-of-caption", type=click.Path(), help="Image row of each caption."),
        click.option("--references", type=click.Path(), help="Embeddings of reference captions."),
        click.option(
            "--image-of-reference", type=click.Path(), help="Image row of each reference."
        ),
        click.option("--rule", help="plain, clipscore, refclipscore, additive or harmonic."),
    )
    images: str
    captions: str
    human: str
    image_of_caption: str | None
    references: str | None
    image_of_reference: str | None
    rule: str | None

    @property
    def texts(self) -> str:
        """The file of the text side."""
        return self.captions

    def read(self) -> tuple[Any, Any, Any, Any]:
        """Image rows, caption rows, judgements, and the image row of each caption or None."""
        from distnorm.tasks.files import read_numbers

        images, captions = _rows(self.images, "image"), _rows(self.captions, "text")
        return images, captions, read_numbers(self.human), _numbers(self.image_of_caption)

    def scoring(self) -> dict[str, Any]:
        """Keywords of `score_captions`."""
        return {
            "references": _rows(self.references, "text"),
            "image_of_reference": _numbers(self.image_of_reference),
            "rule": self.rule,
        }


@dataclass(frozen=True)
class ProtocolOptions:
    """What is compared, and where statistics come from."""

    OPTIONS = (
        click.option("--methods", default="dot,dn,dn*,dn2,is,nnn", show_default=True),
        click.option("--strength", help="For every method: a number, or image=0.25,text=0.5."),
        click.option(
            "--protocol",
            type=click.Choice(["held-out", "paper", "reference", "transductive"]),
            default="held-out",
            show_default=True,
            help="Where statistics come from.",
        ),
        click.option(
            "--fit-fraction", default=0.5, show_default=True, help="Share held out (held-out)."
        ),
        click.option("--samples", default=100, show_default=True, help="Rows per side (paper)."),
        *_FIT_ROWS,
        click.option("--repeats", type=int, help="Splits: 20 held-out, 5 paper if left out."),
        click.option("--seed", default=0, show_default=True),
        click.option("--prompt", help="Prefix or template of the texts, printed with the results."),
        input_option,
    )
    methods: str
    strength: str | None
    protocol: str
    fit_fraction: float
    samples: int
    fit_images: str | None
    fit_texts: str | None
    repeats: int | None
    seed: int
    prompt: str | None
    input: str | None

    def read(self, data: PairInput | ClassInput | CaptionInput) -> Protocol:
        """The protocol; all vectors must be of one model, the texts of one prompt."""
        from distnorm.comparison import Protocol
        from distnorm.store.models import check_models, prompt_of

        check_models(None, data.images, data.texts, self.fit_images, self.fit_texts)
        return Protocol(
            self.protocol,
            fit_fraction=self.fit_fraction,
            repeats=self.repeats,
            seed=self.seed,
            samples=self.samples,
            methods=split_methods(self.methods),
            strength=_parse_strength(self.strength),
            input=self.input,
            fit_images=_rows(self.fit_images, "image"),
            fit_texts=_rows(self.fit_texts, "text"),
            prompt=prompt_of(data.texts, stated=self.prompt),
        )


@dataclass(frozen=True)
class MethodOptions:
    """One method: a saved normalization, or what to fit."""

    OPTIONS = (
        click.option("--normalization", type=click.Path(), help="A file of `distnorm fit`."),
        click.option(
            "--method", default="dot", show_default=True, help="Method to fit if none is given."
        ),
        strength_option,
        *_FIT_ROWS,
        input_option,
    )
    normalization: str | None
    method: str
    strength: str | None
    fit_images: str | None
    fit_texts: str | None
    input: str | None

    def norm(self, data: PairInput | ClassInput | CaptionInput) -> ScoreNormalization:
        """The fitted normalization, of the same model as all the vectors."""
        from distnorm.normalization import load
        from distnorm.store.models import check_models

        if self.normalization is not None:
            if self.method != "dot" or self.fit_images or self.fit_texts:
                words = "--normalization excludes --method, --fit-images, --fit-texts"
                raise click.UsageError(words)
            norm = load(self.normalization)
        else:
            norm = self._fitted()
        check_models(norm, data.images, data.texts, self.fit_images, self.fit_texts)
        return norm

    def _fitted(self) -> ScoreNormalization:
        norm = make_norm(self.method, self.strength, input=self.input)
        rows = {"images": _rows(self.fit_images, "image"), "texts": _rows(self.fit_texts, "text")}
        rows = {side: x for side, x in rows.items() if x is not None}
        if rows:
            norm.fit(**rows)
        elif norm.method != "dot":
            raise DistnormError(
                f"method {norm.method!r} without statistics",
                "--fit-images and --fit-texts, or --normalization",
                "or run `distnorm compare retrieval`, which holds out a part of the data",
            )
        return norm


def make_norm(method: str, strength: str | None, **settings: Any) -> ScoreNormalization:
    """An unfitted normalization of ``--method`` and ``--strength``."""
    from distnorm.methods.registry import parse_method
    from distnorm.normalization import make

    name, own, params = parse_method(method)
    given = _parse_strength(strength) if own is None else own
    return make(name, strength=given, **settings, **params)


def parse_ks(text: str) -> tuple[int, ...]:
    """Read ``1,5,10``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise DistnormError(f"--k {text}", "whole numbers, e.g. 1,5,10", "write it so") from error


def split_methods(text: str) -> list[str]:
    """Names between commas; a comma inside parameters joins what has an "=" and no name."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" in part and ":" not in part:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _parse_strength(text: str | None) -> float | dict[str, float] | None:
    """Read ``0.5`` or ``image=0.25,text=0.5``."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {side.strip(): float(value) for side, value in pairs}
    except ValueError as error:
        raise DistnormError(
            f"--strength {text}", "a number, or image=0.25,text=0.5", "write it so"
        ) from error


def _rows(path: str | None, side: str) -> Any:
    from distnorm.store.vectors import read_embeddings

    return None if path is None else read_embeddings(path, side)


def _numbers(path: str | None) -> Any:
    from distnorm.tasks.files import read_rows

    return None if path is None else read_rows(path)
