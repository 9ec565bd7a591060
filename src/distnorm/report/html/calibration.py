"""A page on what scores mean: false-alarm rates by threshold, and the reliability diagram."""

from __future__ import annotations

from typing import Any

from distnorm.calibration.reading import calibration_of
from distnorm.monitoring.card import build_card
from distnorm.normalization import ScoreNormalization
from distnorm.report.html.figures import _INK, _SERIES, _axes, _svg
from distnorm.report.html.page import Figure, Section, Table, render

__all__ = ["calibration_page", "rate_figure", "reliability_figure"]


def calibration_page(norm: ScoreNormalization, source: str) -> str:
    """A whole page of a calibrated normalization."""
    card = build_card(norm, name=source)
    calibration, table = card["calibration"], calibration_of(norm)
    rows = []
    for row in calibration["thresholds"]:
        at, rate = row["threshold"], row["interval_of_rate"]
        rows.append(
            [
                f"{row['false_alarm_rate']:g}",
                f"{at['value']:.4f} [{at['low']:.4f}, {at['high']:.4f}]",
                f"[{rate['low']:.2g}, {rate['high']:.2g}]",
                "" if at["reliable"] else "too small a sample to know",
            ]
        )
    label = calibration["score"]["label"]
    sections = [
        Section(
            "False alarms",
            f"Share of non-matching pairs whose {label} is above a threshold.",
            tables=[Table(["false-alarm rate", "threshold [95 %]", "rate there [95 %]", ""], rows)],
            figures=[Figure(rate_figure(table), "The band holds 95 %.")],
        )
    ]
    probability = norm.notes.probability
    if probability is not None:
        sections.append(
            Section(
                "Probability of a match",
                f"{probability['method']} regression at prior {probability['prior']:.3g}; expected "
                f"calibration error {probability['expected_calibration_error']:.3f} on rows "
                "that the fit has not seen.",
                figures=[
                    Figure(
                        reliability_figure(probability["reliability"]),
                        "On the diagonal, of pairs with P(match) = p a share p matches.",
                    )
                ],
            )
        )
    facts = [
        f"{calibration['n_pairs']} pairs of "
        + ", ".join(f"{n} {side} rows" for side, n in calibration["n_rows"].items())
        + f"; matches among them: {calibration['pairs']}; seed {table['seed']}"
    ]
    lead = "What a score means, learned from pairs that do not match."
    return render(f"distnorm: {source}", lead, sections, facts)


def rate_figure(table: Any) -> str:
    """False-alarm rate by threshold on a logarithmic axis, with its band."""
    knots = table["knots"]
    figure, (axes,) = _axes(2.6)
    floor = 1e-6
    axes.fill_between(
        knots["score"],
        [max(v, floor) for v in knots["low"]],
        [max(v, floor) for v in knots["high"]],
        color=_SERIES[0],
        alpha=0.2,
        linewidth=0,
    )
    axes.plot(knots["score"], knots["rate"], color=_SERIES[0], linewidth=1.8)
    axes.axvline(table["tail"]["above"], color=_INK, linewidth=0.6, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(floor, 1)
    axes.set_xlabel(f"{table['score']['label']}; right of the dotted line a Pareto tail")
    axes.set_ylabel("false-alarm rate")
    return _svg(figure, "False-alarm rate by threshold")


def reliability_figure(bins: Any) -> str:
    """Share of matches by predicted probability, the diagonal for comparison."""
    figure, (axes,) = _axes(2.6)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.6, linestyle=":")
    axes.plot(
        [b["probability"] for b in bins],
        [b["matches"] for b in bins],
        "o-",
        color=_SERIES[0],
        markersize=4,
        linewidth=1.4,
    )
    axes.set_xlabel("predicted probability of a match")
    axes.set_ylabel("share of matches")
    return _svg(figure, "Reliability diagram")
