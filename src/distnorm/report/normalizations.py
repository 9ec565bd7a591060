"""Tables of one normalization: its settings and statistics, its thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from distnorm.report.tables import PlainTable
from distnorm.text import plain, values

if TYPE_CHECKING:
    from distnorm.normalization import ScoreNormalization

__all__ = ["calibration_table", "normalization_table", "strength_in_force"]


def normalization_table(norm: ScoreNormalization) -> Table:
    """Method, strengths, counts and how sure each mean is."""
    worth = norm.effective if norm.effective != norm.counts else {}
    columns = ("queries of", "strength", "rows", *(("worth",) if worth else ()))
    columns += ("|mean|", "standard error", "cos(mean, true)")
    table = PlainTable(f"{norm.spec.title} ({norm.method})", columns, columns[:1])
    for side in norm.sides:
        found = norm.moments(side)
        cells = ["-", "-", "-"]
        if found is not None:
            sure = found.uncertainty()
            cells = [f"{sure.norm:.4f}", f"{sure.standard_error:.4f}", f"{sure.cosine:.3f}"]
        counts = [str(norm.counts[side]), *([f"{worth[side]:.4g}"] if worth else [])]
        table.add_row(side, strength_in_force(norm, side), *counts, *cells)
    table.caption = "\n".join((_facts(norm), *_applied(norm)))
    return table


def calibration_table(norm: ScoreNormalization) -> Table:
    """Thresholds of a few false-alarm rates, with their intervals."""
    from distnorm.monitoring.card import build_card

    found = build_card(norm)["calibration"]
    columns = ("false-alarm rate", "threshold", "95 %", "rate there, 95 %", "")
    table = PlainTable(f"thresholds of the {found['score']['label']}", columns)
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
    probability = norm.notes.probability
    if probability is not None:
        table.caption += (
            f"\nP(match): prior {probability['prior']:.3g}, {probability['n_matches']} matches, "
            f"expected calibration error {probability['expected_calibration_error']:.3f}"
        )
    return table


def strength_in_force(norm: ScoreNormalization, side: str) -> str:
    """Strength for queries of a side; under auto the chosen method as well."""
    if not norm.spec.chooses:
        return f"{norm.strength[side]:g}"
    correction = norm.correction(side)
    return f"{correction.method.name} {correction.strength:.2f}"


def _facts(norm: ScoreNormalization) -> str:
    stated = {name: value for name, value in norm.params.items() if value is not None}
    return (
        f"parameters: {values(stated) or 'none'}; weights: {norm.weighting}; "
        f"model: {plain(norm.model or 'not stated')}; prompt: {plain(norm.prompt or 'not stated')}"
    )


def _applied(norm: ScoreNormalization) -> list[str]:
    """What each side's queries get, a line each; nothing of methods without parameters."""
    from distnorm.monitoring.card import in_force

    return [
        f"{plain(side)} queries: {about['method']}, {values(about['params'])}"
        for side, about in in_force(norm).items()
        if about is not None and about["params"]
    ]
