"""Data dictionary of a results folder: every column of every table, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from features import Panel
from personalize.effects.similar import NONE

COLUMNS = ("table", "column", "unit", "seen", "description")
Described = tuple[str, str]  # unit, description

OUTCOME, ALLIANCE, EFFECT, SHARE = (
    "points of the outcome",
    "points of the alliance",
    "outcome per alliance point",
    "0 to 1",
)

FORECASTS: dict[str, Described] = {
    "target": ("", "What is forecast: the next session, the fourth ahead, or the last one, whenever treatment ends."),
    "sessions_seen": ("sessions", "Sessions the forecast rests on; 0: intake alone."),
    "mean": (OUTCOME, "Expected outcome."),
    "lower": (OUTCOME, "Lower end of the interval that holds this outcome with the probability of the run's level."),
    "upper": (OUTCOME, "Upper end of that interval."),
    "band_lower": (
        OUTCOME,
        "Lower end of the band that holds the path up to the furthest session forecast, with that probability.",
    ),
    "band_upper": (OUTCOME, "Upper end of that band."),
}
ATTRIBUTIONS: dict[str, Described] = {
    "target": FORECASTS["target"],
    "forecast": (OUTCOME, "Expected outcome, the mean in forecasts.csv."),
    "background": (
        OUTCOME,
        "What is forecast for the average training target of this kind; the groups start from here.",
    ),
}
TREES: dict[str, Described] = {
    "target": FORECASTS["target"],
    "input": ("", "Single input of the boosted trees, one part of the forecast: a feature, or what another part says."),
    "group": ("", "Group of inputs it belongs to."),
    "value": ("", "Value of the input; empty: unknown."),
    "contribution": (OUTCOME, "What it moves the forecast by through the trees (TreeSHAP times their weight)."),
}
ON_TRACK: dict[str, Described] = {
    "sessions_seen": ("sessions", "Session at which the patient is judged: the k-th observed one."),
    "expected": (OUTCOME, "Expected response: mean course of patients with the same first score, of other folds."),
    "bound": (OUTCOME, "Nine in ten of those patients do better than this."),
    "outcome": (OUTCOME, "Score of the patient at this session."),
    "off_track": ("", "Whether the score is worse than the bound."),
}
GROUP = (
    OUTCOME,
    "What this group of inputs moves the forecast by (Shapley value); groups add up to forecast minus background.",
)
EFFECTS: dict[str, Described] = {
    "estimate": (EFFECT, "Expected change of the outcome at the next session per point of alliance, for this patient."),
    "lower": (EFFECT, "Lower end of the interval of the estimate, at the run's level."),
    "upper": (EFFECT, "Upper end of that interval."),
    "sd": (EFFECT, "Standard deviation of what is not known about the patient's effect."),
    "own_reliability": (
        SHARE,
        "How far the patient's own sessions can tell this effect from others': 0 not at all, 1 fully.",
    ),
    "n_sessions": ("sessions", "Sessions of the patient."),
    "n_transitions": ("steps", "Pairs of sessions usable for the effect."),
    "baseline_estimate": (EFFECT, "What intake and therapist say of the effect, before the patient's own sessions."),
    "own_shift": (EFFECT, "What the patient's own sessions add to that."),
    "similar_shift": (EFFECT, f"What the sessions of similar patients add; zero from {NONE} patients on."),
    "own_slope": (
        EFFECT,
        "What the patient's own sessions say alone, before shrinkage: far too unsure to be read by itself.",
    ),
    "p_top_fifth": (
        SHARE,
        "Probability of being in the fifth with the largest benefit; empty where patients are not shown to differ.",
    ),
    "reason": ("", "Why nothing, or less than usual, is estimated."),
}
HINGE: dict[str, Described] = {
    "effect": (EFFECT, "As estimate in effects.csv."),
    "effect_lower": (EFFECT, "Lower end of its interval."),
    "effect_upper": (EFFECT, "Upper end of its interval."),
    "effect_per_sd": ("outcome per within-patient SD", "The effect of an alliance one within-patient SD higher."),
    "effect_per_sd_lower": ("outcome per within-patient SD", "Lower end of its interval."),
    "effect_per_sd_upper": ("outcome per within-patient SD", "Upper end of its interval."),
    "shift": (
        ALLIANCE,
        "How far above its expected course the alliance is held for the benefit: one within-patient SD, pooled or own.",
    ),
    "benefit": (
        OUTCOME,
        "Improvement of the outcome four sessions on, if the alliance were held that much higher; below zero: worse.",
    ),
    "benefit_lower": (OUTCOME, "Lower end of its interval."),
    "benefit_upper": (OUTCOME, "Upper end of its interval."),
    "benefit_long_run": (OUTCOME, "The same in the long run."),
    "p_benefit": (SHARE, "Probability that the benefit is above zero."),
    "p_reliable": (SHARE, "Probability that the benefit exceeds the measure's reliable change."),
    "p_reliable_reason": ("", "Why p_reliable is empty."),
    "rank": ("", "Rank by benefit, 1 the largest; empty where patients are not shown to differ."),
    "p_top": (
        SHARE,
        "Probability of being among the fifth with the largest benefit; empty where patients are not shown to differ.",
    ),
    "ranking_reason": ("", "Why rank and p_top are empty."),
    "own_reliability": EFFECTS["own_reliability"],
    "n_sessions": EFFECTS["n_sessions"],
    "n_transitions": EFFECTS["n_transitions"],
    "baseline_estimate": EFFECTS["baseline_estimate"],
    "own_shift": EFFECTS["own_shift"],
    "similar_shift": EFFECTS["similar_shift"],
    "why": ("", "Why the effect differs from the average, in words."),
    "verdict": ("", "What is known of this patient, in words."),
    "outside": ("", "Whether the shift leaves the alliances seen in patients of this level."),
    "reason": ("", "Why nothing is estimated."),
}
TRUTH: dict[str, Described] = {
    "effect": (EFFECT, "True effect of the simulated patient."),
    "tau": (EFFECT, "Its part that intake tells."),
    "trait_alliance": (ALLIANCE, "True trait alliance."),
}
PATTERNS: tuple[tuple[str, Described], ...] = (
    (r"q(0\.\d+)", (OUTCOME, "Quantile of the forecast: the outcome is below it with probability {0}.")),
    (
        r"moderator_(\d)",
        ("", "Intake characteristic that moves this patient's effect away from the average; place {0}."),
    ),
    (r"moderator_(\d)_effect", (EFFECT, "How far it moves the effect; place {0}.")),
    (r"moderator_(\d)_direction", ("", "Whether that means more or less benefit; place {0}.")),
)


def results_dictionary(panel: Panel, tables: Mapping[str, pd.DataFrame], features: pd.DataFrame) -> pd.DataFrame:
    """Describe every column of the tables of a results folder.

    Parameters
    ----------
    panel : Panel
    tables : mapping of file name to DataFrame
        As they are written.
    features : DataFrame
        From `features.build.dictionary`.

    Returns
    -------
    DataFrame
        table, column, unit, seen ("past", "whole" or empty), description; one row a column.
    """
    known = {row["name"]: (row["unit"], row["seen"], row["description"]) for row in features.to_dict("records")}
    rows = []
    for name, table in tables.items():
        for column in map(str, table.columns):
            described = known.get(column) if name == "features.csv" else None
            unit, seen, text = described or _described(panel, name, column)
            rows.append((name, column, unit, seen, text))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _described(panel: Panel, table: str, column: str) -> tuple[str, str, str]:
    own = {
        "forecasts.csv": FORECASTS,
        "attributions.csv": ATTRIBUTIONS,
        "tree-attributions.csv": TREES,
        "on-track.csv": ON_TRACK,
        "effects.csv": EFFECTS,
        "hinge.csv": HINGE,
        "truth.csv": TRUTH,
    }.get(table, {})
    if column in own:
        unit, text = own[column]
        return unit, "", text
    roles = _roles(panel)
    if column in roles:
        return roles[column][0], "", roles[column][1]
    for pattern, (unit, text) in PATTERNS:
        match = re.fullmatch(pattern, column)
        if match:
            return unit, "", text.format(*match.groups())
    if table == "attributions.csv":
        return GROUP[0], "", GROUP[1]
    if table == "panel.parquet":
        return "", "", panel.labels.get(column, "Intake characteristic of the patient, as it was read.")
    if table == "truth.csv":
        return "", "", "Part of the truth behind the simulated clinic; see docs/simulator.md."
    return "", "", ""


def _roles(panel: Panel) -> dict[str, Described]:
    columns = panel.columns
    out: dict[str, Described] = {columns.patient: ("", "Patient.")}
    if columns.therapist is not None:
        out[columns.therapist] = ("", "Therapist of the patient.")
    out[columns.session] = ("", "Session number; empty where the last session is meant, whenever it will be.")
    if columns.time is not None:
        unit = "date" if panel.calendar is not None else f"unit of {columns.time}"
        out[columns.time] = (unit, "Time of the session.")
        out["time_days"] = ("days", "Days since the patient's first session.")
    for name in columns.covariates:
        out[name] = ("points", _titled(panel, name, "Covariate"))
    out[columns.outcome] = (OUTCOME, _titled(panel, columns.outcome, "Outcome"))
    if columns.alliance is not None:
        out[columns.alliance] = (ALLIANCE, _titled(panel, columns.alliance, "Alliance (or what plays its role)"))
    return out


def _titled(panel: Panel, column: str, role: str) -> str:
    measure = panel.measures.get(column)
    title = panel.labels.get(column) or (measure.title if measure is not None else "")
    return f"{role} of the session{': ' + title if title else ''}."
