"""What a score means: false-alarm rates without labels, P(match) with them."""

from distnorm.calibration.nonmatch import calibrate
from distnorm.calibration.probability import fit_probability, match_probability, reliability
from distnorm.calibration.reading import Estimate, false_alarm_rate, percentile, threshold

__all__ = [
    "Estimate",
    "calibrate",
    "false_alarm_rate",
    "fit_probability",
    "match_probability",
    "percentile",
    "reliability",
    "threshold",
]
