"""Statistics from anything: stores, vectors, photos, sentences, or a mix."""

from distnorm.fitting.belonging import check_models, model_of, prompt_of
from distnorm.fitting.fit import Fit, fit_inputs
from distnorm.fitting.inputs import Inputs
from distnorm.fitting.update import Update, update

__all__ = [
    "Fit",
    "Inputs",
    "Update",
    "check_models",
    "fit_inputs",
    "model_of",
    "prompt_of",
    "update",
]
