"""ALBEF and TCL: the model, and how to read a checkpoint."""
