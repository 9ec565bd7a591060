"""Models of transformers: the model, its heads."""
