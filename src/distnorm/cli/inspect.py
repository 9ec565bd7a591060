"""``distnorm inspect``: what is in a saved normalization."""

from __future__ import annotations

from typing import Any

import click

from distnorm.cli.output import console, json_option, say, write_json

__all__ = ["inspect"]


@click.command()
@click.argument("path", type=click.Path())
@json_option
def inspect(path: str, json_path: str | None) -> None:
    """Show method, strength, counts, and how sure the means are."""
    from distnorm.metrics import modality_gap
    from distnorm.monitoring.banks import bank_figures, figure_facts
    from distnorm.monitoring.card import build_card, in_force
    from distnorm.normalization import load
    from distnorm.report.normalizations import normalization_table
    from distnorm.storage import read

    settings, _, checksum = read(path)
    norm = load(path)
    moments = {side: norm.moments(side) for side in norm.sides}
    first, second = moments.values()
    banks = bank_figures(norm)
    result: dict[str, Any] = {
        "schema": 1,
        "format_version": settings["format_version"],
        "checksum": checksum,
        **norm.to_dict(),
        "weights": norm.weighting,
        "effective": norm.effective,
        "in_force": in_force(norm),
        "modality_gap": modality_gap(first, second) if first and second else None,
        "mean_uncertainty": {
            side: found.uncertainty().to_dict() if found else None
            for side, found in moments.items()
        },
        **figure_facts(norm, banks),
    }
    console().print(normalization_table(norm))
    for bank in banks.values():
        say(bank.text)
    for line in result.get("repeats", ()):
        say(line)
    if norm.notes.calibration is not None:
        from distnorm.calibration.sample import calibration_warnings
        from distnorm.report.normalizations import calibration_table

        result["calibration"] = build_card(norm)["calibration"]
        if result["calibration"] is None:
            say("a calibration of other settings: calibrate again")
        else:
            console().print(calibration_table(norm))
            for line in calibration_warnings(norm.notes.calibration):
                say(line)
    if "class_prior" in result:
        say(result["class_prior"]["text"])
    if norm.selection is not None:
        from distnorm.report.html.choices import choice_tables

        result["selection"] = norm.selection.to_dict()
        for table in choice_tables(result["selection"]):
            console().print(table)
    write_json(result, json_path)
