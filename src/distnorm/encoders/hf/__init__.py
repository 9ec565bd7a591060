"""Models of transformers: the model, its heads, its pixels, its files."""
