"""Options that several commands share, in groups: each reaches the command as one dataclass."""

from __future__ import annotations

import shlex
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.groups import option, options_of
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.comparison import Protocol
    from distnorm.normalization import ScoreNormalization

__all__ = [
    "MethodOptions",
    "ProtocolOptions",
    "asking_side",
    "make_norm",
    "option",
    "options_of",
    "parse_ks",
    "prior_option",
    "split_methods",
    "threshold_options",
]

Command = Callable[..., Any]


class Data(typing.Protocol):
    """What names the files of two sides."""

    @property
    def images(self) -> str:
        """That of the first side."""

    @property
    def texts(self) -> str:
        """That of the second side."""

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are called."""

    @property
    def key(self) -> str | None:
        """Array or column of files that hold several."""

    @property
    def normalize(self) -> bool:
        """Whether rows are given unit length."""

    def fitted_on(self, images: str | None, texts: str | None) -> dict[str, Any]:
        """As `VectorOptions.fitted_on`."""


def threshold_options(command: Command) -> Command:
    """Add ``--threshold`` and ``--false-alarm-rate``."""
    rate = click.option(
        "--false-alarm-rate", type=float, help="The same at a calibrated rate, e.g. 0.001."
    )
    above = click.option("--threshold", type=float, help="Also decisions: a match is above this.")
    return above(rate(command))


prior_option = click.option(
    "--prior",
    type=click.Choice(["none", "balance", "shift", "auto"]),
    help="How often classes (the texts) come: alike, as the images show, or whichever is clear.",
)

_FIT_IMAGES = "Images that give the statistics."
_FIT_TEXTS = "Texts that give the statistics."
_INPUTS = ("unit", "raw", "any")
_INPUT = "Length of rows: 1, not 1, any; the method's own demand if left out."
_PATH = click.Path()


@dataclass(frozen=True)
class ProtocolOptions:
    """What is compared, and where statistics come from."""

    methods: str = option(
        "--methods",
        default="dot,dn,dn*,ridge,dn2,is,nnn,auto",
        show_default=True,
        help="See docs/method.md; with a strength and parameters as dn@0.25,nnn:k=16.",
    )
    strength: str | None = option(
        "--strength", help="For every method: a number, or image=0.25,text=0.5."
    )
    protocol: str = option(
        "--protocol",
        type=click.Choice(["held-out", "paper", "reference", "transductive"]),
        default="held-out",
        show_default=True,
        help="Statistics from a random half, from --samples rows, from --fit-images and "
        "--fit-texts, or from the evaluated rows.",
    )
    fit_fraction: float = option(
        "--fit-fraction", default=0.5, show_default=True, help="Share held out (held-out)."
    )
    samples: int = option(
        "--samples", default=100, show_default=True, help="Rows per side (paper)."
    )
    fit_images: str | None = option("--fit-images", "--fit-first", type=_PATH, help=_FIT_IMAGES)
    fit_texts: str | None = option("--fit-texts", "--fit-second", type=_PATH, help=_FIT_TEXTS)
    repeats: int | None = option(
        "--repeats", type=int, help="Splits: 20 held-out, 5 paper if left out."
    )
    seed: int = option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
    prompt: str | None = option(
        "--prompt", help="Prefix or template of the texts, printed with the results."
    )
    input: str | None = option("--input", type=click.Choice(_INPUTS), help=_INPUT)

    def sources(self, data: Data) -> tuple[str, str]:
        """What images and texts a normalization for use would be fitted on."""
        return self.fit_images or data.images, self.fit_texts or data.texts

    def fitting(self, data: Data) -> str:
        """Options under which ``distnorm fit`` reads the same rows and fits the same."""
        sided = self.strength if "=" in (self.strength or "") else None
        given = {
            "--key": data.key,
            "--strength": sided,
            "--prompt": self.prompt,
            "--input": self.input,
        }
        words = [f" {name} {shlex.quote(value)}" for name, value in given.items() if value]
        return "".join([*words, " --normalize" * data.normalize])

    def read(self, data: Data, prior: str | None = None) -> Protocol:
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
            sides=data.names,
            **data.fitted_on(self.fit_images, self.fit_texts),
            prompt=prompt_of(data.texts, stated=self.prompt),
            prior=prior or "none",
        )


@dataclass(frozen=True)
class MethodOptions:
    """One method: a saved normalization, or what to fit."""

    normalization: str | None = option(
        "--normalization", type=_PATH, help="A file of `distnorm fit`."
    )
    method: str = option(
        "--method", default="dot", show_default=True, help="Method to fit if none is given."
    )
    strength: str | None = option("--strength", help="A number, or image=0.25,text=0.5.")
    fit_images: str | None = option("--fit-images", "--fit-first", type=_PATH, help=_FIT_IMAGES)
    fit_texts: str | None = option("--fit-texts", "--fit-second", type=_PATH, help=_FIT_TEXTS)
    input: str | None = option("--input", type=click.Choice(_INPUTS), help=_INPUT)

    def norm(self, data: Data) -> ScoreNormalization:
        """The fitted normalization, of the same model as all the vectors."""
        from distnorm.normalization import load
        from distnorm.store.models import check_models

        if self.normalization is not None:
            if self.method != "dot" or self.fit_images or self.fit_texts:
                words = "--normalization excludes --method, --fit-images, --fit-texts"
                raise click.UsageError(words)
            norm = load(self.normalization)
            if norm.sides != data.names:
                raise DistnormError(
                    f"a normalization of the sides {norm.sides[0]} and {norm.sides[1]}",
                    f"{data.names[0]} and {data.names[1]}",
                    f"give --sides {','.join(norm.sides)} to evaluate retrieval, or fit again",
                )
        else:
            norm = self._fitted(data)
        check_models(norm, data.images, data.texts, self.fit_images, self.fit_texts)
        return norm

    def classifying(self, data: Data, classes: Any, prior: str | None) -> ScoreNormalization:
        """`norm` with the class prior that is wanted, learned from ``--fit-images``."""
        from distnorm.tasks.class_prior import fit_class_prior, with_prior

        norm = self.norm(data)
        norm = with_prior(norm, norm.prior if prior is None else prior)
        if norm.prior == "none" or norm.notes.class_prior is not None:
            return norm
        images = data.fitted_on(self.fit_images, None)["fit_images"]
        if images is None:
            raise DistnormError(
                f"--prior {norm.prior} without images that tell how often classes come",
                "--fit-images with unlabelled ones",
                "give them, or a --normalization of `distnorm fit --texts CLASSES --prior auto`",
            )
        return fit_class_prior(norm, images, classes)

    def of_scores(self) -> dict[str, Any]:
        """Method and strength for a matrix of scores; the default leaves it as it is."""
        if self.normalization or self.fit_images or self.fit_texts or self.input:
            words = "--scores excludes --normalization, --fit-images, --fit-texts and --input"
            raise click.UsageError(words)
        strength = _parse_strength(self.strength)
        return {"method": None if self.method == "dot" else self.method, "strength": strength}

    def _fitted(self, data: Data) -> ScoreNormalization:
        norm = make_norm(self.method, self.strength, sides=data.names, input=self.input)
        found = data.fitted_on(self.fit_images, self.fit_texts).values()
        rows = {side: x for side, x in zip(norm.sides, found, strict=True) if x is not None}
        if rows:
            norm.fit(**rows)
        elif norm.method != "dot":
            raise DistnormError(
                f"method {norm.method!r} without statistics",
                "--fit-images and --fit-texts, or --normalization",
                "or run `distnorm compare retrieval`, which holds out a part of the data",
            )
        return norm


def asking_side(norm: ScoreNormalization | None, side: str) -> str:
    """The side of queries for items of ``side``: the other one."""
    if norm is not None:
        return norm.names.other(norm.names.resolve(side))
    return "image" if side == "text" else "text"


def make_norm(method: str, strength: str | None, **settings: Any) -> ScoreNormalization:
    """An unfitted normalization of ``--method`` and ``--strength``."""
    from distnorm.methods.registry import parse_method
    from distnorm.normalization import make

    name, own, params = parse_method(method)
    given = _parse_strength(strength) if own is None else own
    return make(name, strength=given, **{**settings, **params})


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
