"""The augmentations: their options with defaults, and what a run of each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distnorm.augmentation.views import count_views
from distnorm.encoders.prompts import Template
from distnorm.errors import DistnormError

__all__ = ["AUGMENTATIONS", "TEMPLATES", "augmentation_cost", "settings_of"]

TEMPLATES = ("a photo of a {c}.",)

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "tta": {"kinds": ("identity", "flip", "five-crop"), "crop": 0.875},
    "tpt": {
        "views": 64,
        "mix": False,
        "confident": 0.1,
        "steps": 1,
        "learning_rate": 5e-3,
        "weight_decay": 0.01,
        "chunk": 64,
    },
    "calip": {"beta_2": 1.12, "beta_3": 0.02, "alpha_t": 0.5, "alpha_s": 0.5, "batch_size": 32},
}
"""Names, and options with their defaults."""


def augmentation_cost(
    name: str, *, templates: Sequence[Template] = TEMPLATES, **options: Any
) -> dict[str, int]:
    """What a run costs, before it begins.

    Returns
    -------
    dict from str to int
        ``encodings_per_image``, ``encodings_per_class`` (once per run),
        ``encodings_per_class_and_image`` (the text tower again for every picture; one pass of a
        gradient step keeps its graph and goes back through it) and ``gradient_steps_per_image``.

    Raises
    ------
    DistnormError
        For an unknown augmentation or option.

    Examples
    --------
    >>> augmentation_cost("tta", kinds=("identity", "flip"))["encodings_per_image"]
    2
    """
    settings = settings_of(name, options)
    views = count_views(settings["kinds"]) if name == "tta" else settings.get("views", 1)
    steps = settings.get("steps", 0)
    return {
        "encodings_per_image": views,
        "encodings_per_class": len(templates),
        "encodings_per_class_and_image": 2 * steps,
        "gradient_steps_per_image": steps,
    }


def settings_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an augmentation, defaults filled in; a DistnormError for others."""
    if name not in AUGMENTATIONS:
        raise DistnormError(
            f"augmentation {name!r}", f"one of {', '.join(AUGMENTATIONS)}", "pick one"
        )
    defaults = AUGMENTATIONS[name]
    wrong = next((key for key in options if key not in defaults), None)
    if wrong is not None:
        raise DistnormError(
            f"option {wrong!r} of {name!r}",
            f"one of {', '.join(defaults)}" if defaults else "none",
            "leave it out",
        )
    return {**defaults, **options}
