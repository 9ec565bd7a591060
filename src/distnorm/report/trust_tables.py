"""Tables for the terminal on what scores mean and whether statistics fit."""

from __future__ import annotations

from rich.table import Table

from distnorm.monitoring.card import build_card
from distnorm.monitoring.drift import Difference
from distnorm.normalization import ScoreNormalization
from distnorm.tasks.detection import DetectionResult

__all__ = ["calibration_table", "detection_table", "difference_table"]


def calibration_table(norm: ScoreNormalization) -> Table:
    """Thresholds of a few false-alarm rates, with their intervals."""
    found = build_card(norm)["calibration"]
    table = Table(title=f"thresholds of the {found['score']['label']}", title_justify="left")
    for column in ("false-alarm rate", "threshold", "95 %", "rate there, 95 %", ""):
        table.add_column(column, justify="right")
    for row in found["thresholds"]:
        at, rate = row["threshold"], row["interval_of_rate"]
        table.add_row(
            f"{row['false_alarm_rate']:g}",
            f"{at['value']:.4f}",
            f"{at['low']:.4f} to {at['high']:.4f}",
            f"{rate['low']:.2g} to {rate['high']:.2g}",
            "" if at["reliable"] else "too small a sample to know",
        )
    rows = ", ".join(f"{n} {side}" for side, n in found["n_rows"].items())
    table.caption = f"{found['n_pairs']} pairs of {rows} rows; matches among them: {found['pairs']}"
    probability = norm.notes.get("probability")
    if probability is not None:
        table.caption += (
            f"\nP(match): prior {probability['prior']:.3g}, {probability['n_matches']} matches, "
            f"expected calibration error {probability['expected_calibration_error']:.3f}"
        )
    return table


def detection_table(result: DetectionResult) -> Table:
    """Recall and false alarms at a threshold."""
    table = Table(
        title=f"{result.score['label']} above {result.threshold:.4f}", title_justify="left"
    )
    cells = []
    for name, value in result.metrics.items():
        table.add_column(name.replace("_", " "), justify="right")
        cells.append("-" if value is None else f"{value:.3g}")
    table.add_row(*cells)
    expected = result.expected_false_alarm_rate
    if expected is not None:
        table.caption = (
            f"expected false-alarm rate {expected['value']:.3g} "
            f"[{expected['low']:.3g}, {expected['high']:.3g}]"
        )
    return table


def difference_table(found: Difference) -> Table:
    """Distances of means, changes in ranking, and the verdict."""
    word = "interchangeable" if found.interchangeable else "different"
    table = Table(title=word, title_justify="left")
    table.add_column("what")
    table.add_column("found", justify="right")
    for key, (one, two) in found.settings.items():
        table.add_row(key, f"{one} / {two}")
    for side, test in found.means.items():
        assumed = ", dimensions assumed" if test.assumed else ""
        table.add_row(
            f"{side} means",
            f"{test.distance:.4f} apart, {test.expected:.4f} expected, "
            f"p = {test.p_value:.2g}{assumed}",
        )
    for side, change in (found.ranking or {}).items():
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}"
            for name, value in change.items()
            if name != "queries"
        )
        table.add_row(f"{change['queries']} {side} queries", figures)
    table.caption = found.why
    return table
