"""Statistics from anything: stores, vectors, photos, sentences, or a mix."""

from distnorm.fitting.inputs import Inputs, Reading, Wanted
from distnorm.fitting.statistics import Fit, fit_inputs
from distnorm.fitting.update import Update, update

__all__ = ["Fit", "Inputs", "Reading", "Update", "Wanted", "fit_inputs", "update"]
