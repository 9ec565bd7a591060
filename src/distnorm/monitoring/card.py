"""A card beside a saved normalization: what it is, what it rests on, how far to trust it.

`build_card` gathers plain values (for machines, schema 1), `card_markdown` writes them for
people. Nothing is measured here but hubs, before and after, on rows that are given for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distnorm.arrays import Array
from distnorm.calibration.reading import calibration_of, false_alarm_rate, threshold
from distnorm.calibration.sample import calibration_warnings
from distnorm.calibration.score_kinds import score_kind
from distnorm.comparison.diagnostics import hubness
from distnorm.errors import DistnormError
from distnorm.metrics import modality_gap
from distnorm.monitoring.banks import bank_figures, figure_facts, spaced
from distnorm.normalization import ScoreNormalization, make
from distnorm.selection.results import SAMPLE_FIGURES
from distnorm.text import code, markdown, values

__all__ = ["build_card", "card_markdown", "hubs_before_and_after", "in_force"]

_RATES = (0.1, 0.01, 0.001, 0.0001)
_FEW_ROWS, _SURE = 100, 0.95


def hubs_before_and_after(norm: ScoreNormalization, first: Array, second: Array) -> dict[str, Any]:
    """Hubness of the dot product and of ``norm``, for queries of each side.

    At most 5,000 rows of each side are used, evenly spaced. Returns ``rows``, and by query side
    ``before`` and ``after``: ``skewness`` of the 10-occurrences, ``occupancy`` of the first places.
    """
    dot = make("dot", sides=norm.sides, input="any")
    rows = dict(zip(norm.sides, (spaced(first), spaced(second)), strict=True))
    hubs: dict[str, Any] = {"rows": {side: int(x.shape[0]) for side, x in rows.items()}}
    for side in norm.sides:
        other = norm.names.other(side)
        hubs[side] = {
            word: {
                "skewness": figures["k_occurrence_skewness"],
                "occupancy": figures["occupancy"],
                "k": figures["k"],
            }
            for word, figures in (
                ("before", hubness(dot, rows[side], rows[other], side)),
                ("after", hubness(norm, rows[side], rows[other], side)),
            )
        }
    return hubs


def in_force(norm: ScoreNormalization) -> dict[str, dict[str, Any] | None]:
    """Method, strength and every parameter that queries of each side get; None without rows."""
    if not any(norm.counts.values()):
        return dict.fromkeys(norm.sides)
    found = {side: norm.correction(side) for side in norm.sides}
    return {
        side: {"method": each.method.name, "strength": each.strength, "params": each.in_force}
        if norm.counts[side]
        else None
        for side, each in found.items()
    }


def build_card(
    norm: ScoreNormalization,
    *,
    name: str | None = None,
    checksum: str | None = None,
    data: str | None = None,
    hubs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything a card says, as plain values.

    ``name`` and ``checksum`` are the file's; ``data`` is a sentence on the data and ``hubs`` is of
    `hubs_before_and_after`, both as the notes say if left out.
    """
    moments = {side: norm.moments(side) for side in norm.sides}
    first, second = moments.values()
    means = {
        side: None
        if each is None
        else {
            **each.uncertainty().to_dict(),
            "rows": each.count,
            "sketch": None if each.sketch is None else each.sketch.to_dict(),
        }
        for side, each in moments.items()
    }
    card = {
        "schema": 1,
        "name": name,
        "checksum": checksum,
        "title": norm.spec.title,
        "reference": norm.spec.reference,
        **norm.to_dict(),
        "weights": norm.weighting,
        "effective": norm.effective,
        "in_force": in_force(norm),
        "score": score_kind(norm).to_dict(),
        "data": data if data is not None else norm.notes.data,
        "means": means,
        "modality_gap": modality_gap(first, second) if first and second else None,
        **figure_facts(norm, bank_figures(norm)),
        "hubs": hubs if hubs is not None else norm.notes.hubs,
        "choice": _choice(norm.notes.selection),
        "calibration": _calibration(norm),
        "probability": _probability(norm.notes.probability),
    }
    card["caveats"] = _caveats(card)
    return card


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    applied = {side: about["strength"] for side, about in card.get("chosen", {}).items()}
    strengths = {**card["strength"], **applied}
    side_strength = ", ".join(f"{side} {value:.3g}" for side, value in strengths.items())
    params = values({k: v for k, v in card["params"].items() if v is not None})
    lines = [
        f"# {markdown(card['name'] or 'A normalization of scores')}",
        "",
        f"{card['title']} (`{card['method']}`), strength for queries of each side: "
        f"{markdown(side_strength)}. {card['reference']}.",
        "",
        "| | |",
        "|---|---|",
        f"| model | {markdown(card['model'] or 'not stated')} |",
        f"| prompt style | {_prompt(card['prompt'])} |",
        f"| data | {markdown(card['data'] or 'not described')} |",
        f"| dimensions, rows | {card['dimension']}, {_lengths(card['input'])} |",
        f"| parameters | {markdown(params or 'none')} |",
        f"| weights of rows | {card['weights']} |",
        f"| scores | {markdown(card['score']['label'])}"
        f"{'' if card['score']['is_cosine'] else ', not a cosine'} |",
        f"| checksum | {card['checksum'] or 'not saved'} |",
    ]
    heads = ("side", "rows", "worth", "length of the mean", "standard error")
    rows = [
        (side, 0, "-", "-", "-", "-")
        if mean is None
        else (
            *(side, mean["rows"], f"{card['effective'][side]:.4g}", f"{mean['norm']:.4f}"),
            *(_number(mean["standard_error"]), f"{mean['cosine']:.3f}"),
        )
        for side, mean in card["means"].items()
    ]
    lines += _table("Statistics", (*heads, "cosine of mean and true mean"), rows)
    if card["modality_gap"] is not None:
        lines += ["", f"Modality gap (distance of the means): {card['modality_gap']:.3f}."]
    lines += _force_lines(card["in_force"]) + _bank_lines(card["banks"])
    lines += _hub_lines(card["hubs"]) + _choice_lines(card["choice"])
    lines += _calibration_lines(card["calibration"]) + _probability_lines(card["probability"])
    if card.get("class_prior"):
        lines += ["", "## Classes", "", f"{_prose(card['class_prior']['text'])}."]
    if card["caveats"]:
        lines += ["", "## Mind", "", *(f"- {_prose(line)}" for line in card["caveats"])]
    return "\n".join(lines) + "\n"


def _choice(selection: Any) -> dict[str, Any] | None:
    """Method, strength and reason of each side, whatever else a choice has noted."""
    if not isinstance(selection, Mapping):
        return None
    sides = selection.get("sides")
    if not isinstance(sides, Mapping):
        stated = {key: selection[key] for key in ("summary", "why") if key in selection}
        return stated or None
    keep = (
        *("method", "strength", "why", "evidence", "samples", "gallery", "more"),
        *SAMPLE_FIGURES,
    )
    return {
        "rule": selection.get("rule"),
        "sides": {
            side: {key: about[key] for key in keep if key in about} for side, about in sides.items()
        },
    }


def _calibration(norm: ScoreNormalization) -> dict[str, Any] | None:
    if norm.notes.calibration is None:
        return None
    try:
        table = calibration_of(norm)
    except DistnormError:
        return None
    keep = ("score", "n_rows", "n_pairs", "pairs", "hidden_matches", "cross_fitted", "by_query")
    since = ("right_pairs", "shared_rows")
    thresholds = []
    for rate in _RATES:
        at = threshold(table, rate)
        thresholds.append(
            {
                "false_alarm_rate": rate,
                "threshold": at.to_dict(),
                "interval_of_rate": false_alarm_rate(table, float(at)).to_dict(),
            }
        )
    about = {key: table[key] for key in keep} | {key: table.get(key) for key in since}
    return {**about, "thresholds": thresholds}


def _probability(table: Any) -> dict[str, Any] | None:
    if not isinstance(table, Mapping):
        return None
    keep = ("method", "prior", "n_matches", "n_non_matches", "expected_calibration_error")
    return {key: table[key] for key in keep}


def _caveats(card: Mapping[str, Any]) -> list[str]:
    """What a reader should not overlook."""
    caveats = []
    for side, mean in card["means"].items():
        if mean is None:
            caveats.append(f"No statistics of the {side} side: scores take none of it.")
            continue
        if mean["sketch"] is None:
            caveats.append(
                f"Which {side} rows were fitted is not kept: results on a part of them are called "
                "held-out."
            )
        if mean["rows"] < _FEW_ROWS:
            caveats.append(f"Only {mean['rows']} {side} rows; {_FEW_ROWS} are the paper's sample.")
        if mean["cosine"] < _SURE:
            caveats.append(
                f"The {side} mean is uncertain: cosine {mean['cosine']:.2f} with the true one."
            )
    caveats += [f"Calibration: {line}." for line in calibration_warnings(card["calibration"] or {})]
    caveats += [f"Bank of {b['warning']}." for b in card["banks"].values() if b["warning"]]
    caveats += [f"Rows of {line}." for line in card.get("repeats", ())]
    for key, why in (
        ("model", "nobody is kept from using it with another one"),
        ("prompt", "texts worded otherwise have another mean"),
    ):
        if card[key] is None:
            caveats.append(f"The {key} is not stated: {why}.")
    if card["calibration"] is None:
        caveats.append("Not calibrated: its scores have no thresholds yet (`distnorm calibrate`).")
    elif not card["calibration"]["thresholds"][2]["threshold"]["reliable"]:
        caveats.append("Too small a calibration sample for false-alarm rates of 0.001.")
    return caveats


def _force_lines(found: Mapping[str, Any]) -> list[str]:
    """Method, strength and parameters as they are applied, by query side."""
    rows = [
        (
            side,
            code(about["method"]),
            f"{about['strength']:.3g}",
            markdown(values(about["params"])) or "none",
        )
        for side, about in found.items()
        if about is not None
    ]
    return _table("In force", ("queries of", "method", "strength", "parameters"), rows)


def _bank_lines(banks: Mapping[str, Any]) -> list[str]:
    """What each bank is worth."""
    rows = []
    for side, bank in banks.items():
        cells = [side, f"{bank['compared']}", f"{bank['effective_rows']:.0f}"]
        cells += ["-" if bank["kinds"] is None else f"{bank['kinds']:.0%}"]
        items = bank["effective_items"]
        cells += ["-" if items is None else f"{items:.0f} of {bank['items']}"]
        cells += ["-" if bank["coverage"] is None else f"{bank['coverage']:.0%}"]
        rows.append(cells)
    heads = ("bank of", "rows looked at", "worth by density", "kinds", "items in effect")
    return _table("Banks", (*heads, "coverage"), rows)


def _hub_lines(hubs: Mapping[str, Any] | None) -> list[str]:
    if not hubs:
        return []
    counts = ", ".join(f"{n} {side}" for side, n in hubs["rows"].items())
    heads = ("queries of", "skewness, dot", "skewness, now", "items that are found first, dot")
    rows = []
    for side in (side for side in hubs if side != "rows"):
        both = hubs[side]["before"], hubs[side]["after"]
        figures = [f"{each['skewness']:.2f}" for each in both]
        rows.append((side, *figures, *(f"{each['occupancy']:.1%}" for each in both)))
    return _table(f"Hubs, on {markdown(counts)} rows", (*heads, "now"), rows)


def _choice_lines(choice: Mapping[str, Any] | None) -> list[str]:
    if not choice:
        return []
    lines = ["", "## Chosen without labels", ""]
    for side, about in choice.get("sides", {}).items():
        strength = f" at {about['strength']:.3g}" if "strength" in about else ""
        why = markdown(about.get("why", ""))
        lines.append(f"- {markdown(side)}: {code(about.get('method'))}{strength}. {why}")
    lines += [f"- {markdown(choice[key])}" for key in ("summary", "why") if key in choice]
    return lines


def _calibration_lines(calibration: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    rows = ", ".join(f"{n} {side}" for side, n in calibration["n_rows"].items())
    lines = [
        "",
        "## What a score means",
        "",
        f"From {markdown(rows)} rows, {calibration['n_pairs']} pairs taken as non-matches "
        f"(matches among them: {calibration['pairs']}).",
        "",
        "| false-alarm rate | threshold [95 %] | rate there [95 %] |",
        "|---|---|---|",
    ]
    for row in calibration["thresholds"]:
        at, rate = row["threshold"], row["interval_of_rate"]
        word = "" if at["reliable"] else ", too small a sample to know"
        lines.append(
            f"| {row['false_alarm_rate']:g} | {at['value']:.4f} [{at['low']:.4f}, "
            f"{at['high']:.4f}] | [{rate['low']:.2g}, {rate['high']:.2g}]{word} |"
        )
    by_query = calibration["by_query"]
    varied = ", ".join(
        f"{about['variation']:.2f} over {side} queries"
        for side, about in by_query.items()
        if side != "rate" and about["variation"] is not None
    )
    if varied:
        lines += [
            "",
            f"At one threshold for {by_query['rate']:.0%} overall, the rate of single queries "
            f"varies by {markdown(varied)} (standard deviation over mean).",
        ]
    return lines


def _probability_lines(probability: Mapping[str, Any] | None) -> list[str]:
    if probability is None:
        return []
    return [
        "",
        f"P(match) by {probability['method']} regression on {probability['n_matches']} matches "
        f"and {probability['n_non_matches']} non-matches, prior {probability['prior']:.3g}; "
        f"expected calibration error {probability['expected_calibration_error']:.3f}.",
    ]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A section with a table whose first cells are names of sides; nothing without rows."""
    lines = [f"| {' | '.join((markdown(side), *map(str, cells)))} |" for side, *cells in rows]
    head = ["", f"## {title}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return head + lines if rows else []


def _prose(line: str) -> str:
    """A sentence of ours, with commands as code, in which users have named the sides."""
    return markdown(line).replace("\\`", "`")


def _prompt(prompt: str | None) -> str:
    return "not stated" if prompt is None else code(prompt) if prompt else "no prefix"


def _lengths(requirement: str) -> str:
    return {"unit": "unit length", "raw": "raw length"}.get(requirement, "any length")


def _number(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.4f}"
