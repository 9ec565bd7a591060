"""From photos and sentences to a store of embeddings, resumable."""

from distnorm.embedding.pipeline import Embedded, embed
from distnorm.embedding.sources import Item, Source, find_items, open_source

__all__ = ["Embedded", "Item", "Source", "embed", "find_items", "open_source"]
