"""What a run found, in numbers: the content of ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features import Panel
from personalize.study.analysis import Analysis
from personalize.study.panel_store import plain

OVERALL = "all"


def summarise_run(done: Analysis, title: str | None) -> dict[str, Any]:
    """Collect the numbers of a run.

    Returns
    -------
    dict
        title; data; average_effect, heterogeneity, persistence, state_sd, validation, sensitivity (None without an
        effect); accuracy (rows of the evaluation: forecaster and baselines by landmark, horizon and metric);
        calibration; on_track (accuracy of the not-on-track signal); left_out (what was not made, and why); notes.
    """
    effect = done.effect
    return {
        "title": title,
        "data": describe(done.panel),
        "average_effect": None if effect is None else plain(effect.average_),
        "heterogeneity": None if effect is None else plain(effect.heterogeneity_),
        "persistence": None if effect is None else plain(effect.persistence_),
        "state_sd": None if effect is None else plain(effect.state_sd_),
        "validation": plain(done.validation),
        "sensitivity": plain(done.sensitivity),
        "accuracy": plain(done.evaluation),
        "calibration": plain(done.calibration),
        "on_track": None if done.on_track is None else plain(done.on_track.accuracy),
        "left_out": dict(done.left_out),
        "notes": all_notes(done),
    }


def describe(panel: Panel) -> dict[str, Any]:
    """What was analysed: counts, roles, measures, timing, direction."""
    rows = panel.sessions_per_patient
    return {
        "patients": panel.n_patients,
        "patients_with_sessions": int((rows > 0).sum()),
        "therapists": panel.n_therapists,
        "sessions": panel.n_sessions,
        "most_sessions": int(rows.max(initial=0)),
        "outcome": panel.columns.outcome,
        "outcome_measure": panel.outcome_measure.name if panel.outcome_measure is not None else None,
        "better": panel.better,
        "alliance": panel.columns.alliance,
        "alliance_measure": panel.alliance_measure.name if panel.alliance_measure is not None else None,
        "timing": panel.timing if panel.has_alliance else None,
        "covariates": list(panel.columns.covariates),
    }


def all_notes(done: Analysis) -> list[str]:
    """What was assumed, set aside or left out on the way, in order, each once."""
    notes = [*done.panel.notes, *done.forecasts.attrs.get("notes", [])]
    if done.effect is not None:
        notes += list(done.effect.notes_)
    notes += [f"Left out: {what}. {why}" for what, why in by_reason(done.left_out).items()]
    return list(dict.fromkeys(notes))


def overall_accuracy(done: Analysis) -> list[tuple[str, float, float, float]]:
    """Mean absolute error and skill over landmarks and horizons: forecaster, error, skill, coverage."""
    if done.evaluation is None:
        return []
    table = done.evaluation
    table = table[(table["horizon"] == OVERALL) & (table["group"] == "all")]
    wide = table.pivot_table(index="forecaster", columns="metric", values="estimate", sort=False)
    return [
        (str(name), float(row["mae"]), float(row.get("skill", float("nan"))), float(row.get("coverage", float("nan"))))
        for name, row in wide.iterrows()
    ]


def by_reason(left_out: Mapping[str, str]) -> dict[str, str]:
    """Things that were left out for one reason, together: names in a row, and the reason.

    Examples
    --------
    >>> by_reason({"effects.csv": "No alliance.", "hinge.csv": "No alliance."})
    {'effects.csv, hinge.csv': 'No alliance.'}
    """
    names: dict[str, list[str]] = {}
    for what, why in left_out.items():
        names.setdefault(why, []).append(what)
    return {", ".join(own): why for why, own in names.items()}
