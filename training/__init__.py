"""How the built-in model was made: ``python -m training.train`` (extra ``train``)."""
