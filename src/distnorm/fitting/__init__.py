"""Statistics from anything: stores, vectors, photos, sentences, or a mix."""

from distnorm.fitting.inputs import Inputs
from distnorm.fitting.statistics import Fit, fit_inputs
from distnorm.fitting.update import Update, update
from distnorm.store.models import check_models, model_of, prompt_of

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
