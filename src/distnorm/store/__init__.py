"""Everything that knows the layout of a folder of embeddings."""
