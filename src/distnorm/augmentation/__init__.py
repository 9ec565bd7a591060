"""Test-time augmentation, with any normalization on top.

``tta``: several views of one thing, averaged in embedding space. ``tpt``: a prompt tuned to each
picture. ``calip``: attention between places and classes. torch is imported for the last two only.
"""

from distnorm.augmentation.scores import ClassScores, augmented_image_rows, class_scores
from distnorm.augmentation.settings import AUGMENTATIONS, augmentation_cost
from distnorm.augmentation.views import VIEWS, augmented_rows, views_of

__all__ = [
    "AUGMENTATIONS",
    "VIEWS",
    "ClassScores",
    "augmentation_cost",
    "augmented_image_rows",
    "augmented_rows",
    "class_scores",
    "views_of",
]
