"""Test-time augmentation: several views of one thing, averaged in embedding space."""

from distnorm.augmentation.views import VIEWS, augmented_rows, views_of

__all__ = ["VIEWS", "augmented_rows", "views_of"]
