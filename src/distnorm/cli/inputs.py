"""The data of a task: which files hold its vectors, and what belongs to what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distnorm.cli.groups import option
from distnorm.cli.vectors import VectorOptions, check_distinct, check_lines
from distnorm.errors import DistnormError

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["CaptionInput", "ClassInput", "PairInput", "RetrievalInput", "ScoredCaptionInput"]

_PATH = click.Path()
_IMAGES = "Image embeddings, or those of the first side."
_TEXTS = "Text embeddings, or those of the second side."
_SIDES = "What the two sides are, as query,document; image,text if left out."


@dataclass(frozen=True)
class PairInput(VectorOptions):
    """Images and texts that belong together."""

    images: str = option("--images", "--first", required=True, type=_PATH, help=_IMAGES)
    texts: str = option("--texts", "--second", required=True, type=_PATH, help=_TEXTS)
    sides_called: str | None = option("--sides", "sides_called", metavar="A,B", help=_SIDES)
    image_of_text: str | None = option(
        "--image-of-text",
        "--first-of-second",
        type=_PATH,
        help="Image row of each text (.npy, .txt, .csv ...).",
    )
    positives: str | None = option(
        "--positives",
        type=_PATH,
        help="Pairs of rows query,item: a text may have several images, or none. Adds mAP@R.",
    )

    repeated_images: bool = option(
        "--repeated-images", is_flag=True, help="Image row i belongs to text i, repeated."
    )

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are called."""
        from distnorm.methods.sides import Sides

        if self.sides_called is None:
            return super().names
        sides = Sides.of(tuple(part.strip() for part in self.sides_called.split(",")))
        return sides.first, sides.second

    def read(self) -> tuple[Any, Any, Any, Any]:
        """Image rows, text rows, the image row of each text or None, and positives or None."""
        self.check()
        if self.images != self.texts:
            check_lines(self.texts)
        images, texts = self.two(self.images, self.texts)
        check_distinct(self.images, self.texts, images, texts)
        owner, positives = self.truth(len(images), len(texts))
        if owner is None and positives is None and self._repeats():
            images, owner = _distinct(images, len(texts))
        return images, texts, owner, positives

    def _repeats(self) -> bool:
        """A store repeats a picture's row for each of its captions."""
        from distnorm.store.layout import is_store

        return self.repeated_images or (self.images == self.texts and is_store(self.images))

    def check(self) -> None:
        """Refuse two ground truths."""
        if self.positives is not None and self.image_of_text is not None:
            raise click.UsageError("--positives excludes --image-of-text")
        if self.repeated_images and (self.positives or self.image_of_text) is not None:
            raise click.UsageError("--repeated-images excludes --image-of-text and --positives")

    def truth(self, n_images: int, n_texts: int) -> tuple[Any, Any]:
        """The image row of each text, or positives; neither for pairs row by row."""
        from distnorm.tasks.files import IMAGE_ROWS, check_count, read_rows
        from distnorm.tasks.positive_pairs import read_positives

        if self.positives is not None:
            return None, read_positives(self.positives, n_texts, n_images)
        if self.image_of_text is None:
            return None, None
        owners = read_rows(self.image_of_text)
        check_count(owners, n_texts, self.image_of_text, IMAGE_ROWS, self.texts)
        return owners, None


@dataclass(frozen=True)
class RetrievalInput(PairInput):
    """The same, or a matrix of scores instead of vectors."""

    images: str = option("--images", "--first", type=_PATH, help=_IMAGES)
    texts: str = option("--texts", "--second", type=_PATH, help=_TEXTS)
    scores: str | None = option(
        "--scores", type=_PATH, help="Instead of vectors: scores, one row per image."
    )
    image_bank: str | None = option(
        "--image-bank", type=_PATH, help="With --scores: other images' scores with these texts."
    )
    text_bank: str | None = option(
        "--text-bank", type=_PATH, help="With --scores: these images' scores with other texts."
    )

    def check(self) -> None:
        """Refuse two inputs, half of one and none."""
        super().check()
        if self.scores is None and (self.images is None or self.texts is None):
            raise click.UsageError("give --images and --texts, or --scores")
        if self.scores is None and (self.image_bank or self.text_bank):
            raise click.UsageError("--image-bank and --text-bank need --scores")
        if self.scores is not None and (self.images or self.texts):
            raise click.UsageError("--scores excludes --images and --texts")
        if self.scores is not None and self.normalize:
            raise click.UsageError("--scores excludes --normalize: scores are no rows")

    def matrices(self) -> dict[str, Any]:
        """Scores and banks, as `evaluate_scores` takes them."""
        from distnorm.store.vectors import read_embeddings

        names = {"score": self.scores, "image_bank": self.image_bank, "text_bank": self.text_bank}
        keys = self.keys(*names, bare="score")
        given = {n: p for n, p in names.items() if p is not None}
        found = {n: read_embeddings(p, n, key=keys.get(n)) for n, p in given.items()}
        whole = {n: x.astype("float64") for n, x in found.items() if x.dtype.kind in "iu"}
        read = {**dict.fromkeys(names), **found, **whole}
        return {"scores": read.pop("score"), **read}


@dataclass(frozen=True)
class ClassInput(VectorOptions):
    """Images, classes, and which class each image shows."""

    images: str = option("--images", required=True, type=_PATH, help="Image embeddings.")
    classes: str = option("--classes", required=True, type=_PATH, help="One text row per class.")
    labels: str = option(
        "--labels", required=True, type=_PATH, help="Class row of each image, from 0."
    )
    class_names: str | None = option(
        "--class-names",
        type=_PATH,
        help="Name of each class row (lines, CSV, JSON): labels may be names; shared ones are "
        "reported.",
    )

    @property
    def texts(self) -> str:
        """The file of the text side."""
        return self.classes

    def read(self) -> tuple[Any, Any, Any]:
        """Image rows, class rows, labels."""
        from distnorm.store.listed import read_listed
        from distnorm.store.vector_choice import check_names
        from distnorm.tasks.class_names import read_class_names
        from distnorm.tasks.classification import check_labels
        from distnorm.tasks.files import LABELS, by_picture, check_count, read_values

        check_names({"image": [self.images], "text": [self.classes]})
        names = None if self.class_names is None else read_class_names(self.class_names)
        images = self.rows(self.images, "image", "text")
        classes = read_listed(
            self.classes,
            None if names is None else names.names,
            "give --class-names, the list that was embedded: rows are then found by their words",
            key=self.keys("image", "text").get("text"),
        )
        classes = self.ready(classes)
        if names is not None:
            names.check_count(len(classes), self.class_names)
        labels = read_values(self.labels, LABELS)
        check_count(labels, len(images), self.labels, LABELS, self.images)
        pictures = _stored_names(self.images)
        if pictures is not None and len(pictures) == len(labels):
            labels = by_picture(labels, self.labels, pictures)
        spelled = None if names is None else names.spelled_as(labels)
        return images, classes, check_labels(labels, len(images), len(classes), spelled)

    def repeated_names(self) -> dict[str, Any]:
        """Names that several classes share, for the JSON; empty without ``--class-names``."""
        from distnorm.tasks.class_names import read_class_names
        from distnorm.tasks.classification import repeated_names

        if self.class_names is None:
            return {}
        return {"repeated_names": repeated_names(read_class_names(self.class_names).names)}


@dataclass(frozen=True)
class CaptionInput(VectorOptions):
    """Captions of images, judgements of them, and perhaps references."""

    images: str = option("--images", required=True, type=_PATH, help="Image embeddings.")
    captions: str = option("--captions", required=True, type=_PATH, help="Caption embeddings.")
    human: str = option("--human", required=True, type=_PATH, help="Judgement of each caption.")
    image_of_caption: str | None = option(
        "--image-of-caption", type=_PATH, help="Image row of each caption."
    )
    references: str | None = option(
        "--references", type=_PATH, help="Embeddings of reference captions."
    )
    image_of_reference: str | None = option(
        "--image-of-reference", type=_PATH, help="Image row of each reference."
    )
    rule: str | None = option(
        "--rule",
        help="plain, clipscore, refclipscore, additive, harmonic, exponential or "
        "exponential-additive.",
    )

    @property
    def texts(self) -> str:
        """The file of the text side."""
        return self.captions

    def read(self) -> tuple[Any, Any, Any, Any]:
        """Image rows, caption rows, judgements, and the image row of each caption or None."""
        from distnorm.tasks.files import JUDGEMENTS, check_count, read_numbers

        if self.images != self.captions:
            check_lines(self.captions)
        images, captions = self.two(self.images, self.captions)
        human = read_numbers(self.human)
        check_count(human, len(captions), self.human, JUDGEMENTS, self.captions)
        return images, captions, human, _owners(self.image_of_caption, captions, self.captions)

    def scoring(self) -> dict[str, Any]:
        """Keywords of `score_captions`."""
        place = self.references
        check_lines(place)
        references = None if place is None else self.rows(place, "text", "image")
        return {
            "references": references,
            "image_of_reference": _owners(self.image_of_reference, references, self.references),
            "rule": self.rule,
        }


@dataclass(frozen=True)
class ScoredCaptionInput(CaptionInput):
    """The same with pairs instead of judgements, or neither; captions may be words."""

    captions: str = option(
        "--captions",
        required=True,
        type=_PATH,
        help="Caption embeddings, or COCO results: JSON with image_id and caption.",
    )
    human: str | None = option(  # type: ignore[assignment]
        "--human", type=_PATH, help="Judgement of each caption."
    )
    pairs: str | None = option(
        "--pairs",
        type=_PATH,
        help="Rows of two captions of an image, first,second[,prefers][,category]; the first is "
        "better if nothing is said.",
    )
    image_ids: str | None = option(
        "--image-ids", type=_PATH, help="Id of each image row, for COCO results."
    )
    model: str | None = option(
        "--model", help="What embeds the captions of COCO results, if the images do not say."
    )

    def read_scored(self, norm: ScoreNormalization) -> tuple[Any, Any, Any, list[str] | None]:
        """Image rows, caption rows, each one's image row or None, and the image ids or None.

        Captions that are words are embedded by the model of the images and of ``norm``.
        """
        from distnorm.tasks.caption_files import match_images, read_results

        if self.human is not None and self.pairs is not None:
            raise click.UsageError("--human excludes --pairs")
        results = read_results(self.captions)
        if results is None:
            if self.image_ids is not None:
                raise click.UsageError("--image-ids needs COCO results as --captions")
            if self.images != self.captions:
                check_lines(self.captions)
            images, captions = self.two(self.images, self.captions)
            return images, captions, _owners(self.image_of_caption, captions, self.captions), None
        if self.image_of_caption is not None:
            raise click.UsageError("--image-of-caption excludes COCO results, which name images")
        images = self.rows(self.images, "image", "text")
        owner = match_images(results.image_ids, self._image_names(len(images)))
        return images, self._encoded(results.captions, norm), owner, results.image_ids

    def judgements(self, n_captions: int) -> Any:
        """The numbers of ``--human``."""
        from distnorm.tasks.files import JUDGEMENTS, check_count, read_numbers

        human = read_numbers(str(self.human))
        check_count(human, n_captions, str(self.human), JUDGEMENTS, self.captions)
        return human

    def _image_names(self, n_images: int) -> list[str]:
        from distnorm.store.columns import read_names
        from distnorm.store.layout import is_store
        from distnorm.tasks.files import read_lines

        if self.image_ids is not None:
            names = read_lines(self.image_ids)
            if len(names) != n_images:
                raise DistnormError(
                    f"{self.image_ids} with {len(names)} ids",
                    f"{n_images}, one per row of {self.images}",
                    "give one id per image row",
                )
            return names
        if not is_store(self.images):
            raise DistnormError(
                f"{self.images}, whose rows have no names",
                "ids to find the images of the captions by",
                "give --image-ids with one id per image row, or a store",
            )
        return read_names(self.images, "image")

    def _encoded(self, captions: list[str], norm: ScoreNormalization) -> Any:
        """The captions' rows, by the model and in the dtype of unit rows."""
        from distnorm.encoders import load_encoder
        from distnorm.store.layout import Commit

        commit = Commit.read(self.images)
        model = self.model or commit.model
        if model is None:
            raise DistnormError(
                f"captions as words in {self.captions} for images that name no model",
                "the model that embedded the images",
                "give --model",
            )
        encoder = load_encoder(model)
        for other, place in ((commit.model_id, self.images), (norm.model, "the normalization")):
            if other not in (None, encoder.model_id):
                raise DistnormError(
                    f"captions that {encoder.model_id!r} embeds, and {place} of {other!r}",
                    "one model",
                    "name the images' model with --model, and fit the normalization on its vectors",
                )
        return encoder.encode_texts(captions)


def _stored_names(place: str) -> list[str] | None:
    """What a store calls its pictures; None for another place."""
    from distnorm.store.columns import read_names
    from distnorm.store.layout import METADATA, Commit

    if not Path(place).is_dir() or not Commit.read(place).files(METADATA):
        return None
    return read_names(place, "image")


def _distinct(images: Any, n_texts: int) -> tuple[Any, Any]:
    """Distinct image rows, and the one of each text."""
    from distnorm.comparison import deduplicate_images

    if len(images) != n_texts:
        raise DistnormError(
            f"{len(images)} image rows and {n_texts} texts",
            "as many, each image row repeated for its texts",
            "leave --repeated-images out and give --image-of-text",
        )
    return deduplicate_images(images)


def _owners(path: str | None, rows: Any, place: str | None) -> Any:
    """The image row of each of the rows of ``place``."""
    from distnorm.tasks.files import IMAGE_ROWS, check_count, read_rows

    if path is None:
        return None
    owners = read_rows(path)
    if rows is not None:
        check_count(owners, len(rows), path, IMAGE_ROWS, str(place))
    return owners
