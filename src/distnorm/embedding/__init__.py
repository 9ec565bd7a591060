"""From photos and sentences to a store of embeddings, resumable."""

from distnorm.embedding.pipeline import Embedded, embed
from distnorm.embedding.sources import Item, find_items

__all__ = ["Embedded", "Item", "embed", "find_items"]
