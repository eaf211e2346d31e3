"""Do patients differ in the effect: test, parts, and what intake predicts in held-out patients."""

from __future__ import annotations

import math
import re

import pandas as pd

from personalize.effects.checks import holm
from personalize.report import charts
from personalize.report.blocks import Figure, Section, Table, ends, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import interval, num, p_value
from personalize.report.words import Words

TITLE = "Do patients differ?"
PARTS = {"sd_total": "all together", "sd_baseline": "predicted from intake", "sd_therapist": "therapists",
         "sd_patient": "patients, not predicted"}  # fmt: skip

STATISTICS = {"blp_slope": "BLP slope", "average": "average of the scores", "gates": "GATES", "toc": "TOC",
              "gates_difference": "GATES, difference", "autoc": "AUTOC", "qini": "Qini"}  # fmt: skip


def section(inputs: ReportInputs, words: Words) -> Section:
    """Heterogeneity test, standard deviations of the effect, GATES, TOC and BLP slope."""
    test = inputs.heterogeneity
    if test is None:
        return Section(
            "differ",
            TITLE,
            missing="No effect was estimated, so differences in it cannot be judged.",
            short="Differences",
        )
    detected = bool(test["detected"])
    said = [tested(test, f"how much {words.outcome} moves with {words.alliance}")]
    if not detected:
        said[0] += (
            " So nobody is ranked below. Single estimates still spread around the average, as far as differences are "
            "not excluded: that is not knowledge of who differs."
        )
    parts = [(text, num(test[key])) for key, text in PARTS.items() if key in test]
    unit = f"SD of the effect, {words.outcome} points per {words.alliance} point"
    tables = [("How much the effect varies, and where", Table(("part", unit), tuple(parts)))]
    figures: list[Figure] = []
    found = inputs.validation
    if found is not None and len(found):
        said += _validated(found)
        level = inputs.level
        figures += _gates(found, words, level) + _toc(found, words, level)
        shown = found[["statistic", "group", "estimate", "lower", "upper", "n"]]
        shown = shown.assign(statistic=[STATISTICS.get(str(k), str(k)) for k in found["statistic"]])
        head = ("statistic", "group", "estimate", *ends(level), "patients")
        tables.append(("Validation on held-out patients", table(shown, head, left=2)))
    return Section("differ", TITLE, said, figures, tables, short="Differences")


def tested(test: pd.Series, what: str) -> str:
    """One sentence on the test of heterogeneity: what it found, or that there is too little for it.

    Examples
    --------
    >>> tested(pd.Series({"detected": False, "p_value": float("nan")}), "this")
    'There are too few data to test whether patients differ in this.'
    """
    if not math.isfinite(float(test["p_value"])):
        return f"There are too few data to test whether patients differ in {what}."
    intake = float(test.get("baseline_p_value", math.nan))
    by_intake = f"; the part that intake predicts: {p_value(intake)}" if math.isfinite(intake) else ""
    by_intake += holm(float(test["p_value"]), intake, detected=bool(test["detected"])) if by_intake else ""
    shown = "Patients differ in" if bool(test["detected"]) else "The data do not show that patients differ in"
    return f"{shown} {what} (heterogeneity test: {p_value(test['p_value'])}{by_intake})."


def _pick(found: pd.DataFrame, start: str) -> pd.DataFrame:
    return found[found["statistic"].astype(str).str.lower().str.startswith(start)]


VALIDATED = {
    "blp": "Held-out patients: where intake predicts one point of difference in the effect, {} points are found (BLP "
    "slope; 1 is right, 0 is worthless).",
    "autoc": "Held-out patients: those ranked first by what intake predicts benefit more than the average, by {} "
    "points over the whole ranking (AUTOC, the area under the TOC; 0: the ranking is worthless).",
}


def _validated(found: pd.DataFrame) -> list[str]:
    """What the two summary statistics say, in words."""
    out = []
    for start, sentence in VALIDATED.items():
        row = _pick(found, start)
        if len(row):
            last = row.iloc[-1]
            out.append(sentence.format(f"{num(last['estimate'])} {interval(last['lower'], last['upper'])}"))
    return out


def _gates(found: pd.DataFrame, words: Words, level: float) -> list[Figure]:
    own = _pick(found, "gates")
    own = own[(own["n"] >= 5) & (own["statistic"] == "gates")]
    if own.empty:
        return []
    rows = charts.rows_of(own, "group")
    svg = charts.forest(
        rows, label="GATES", xlabel=f"{words.outcome} points per {words.alliance} point", zero=0.0, strong=0
    )
    head = ("group", "estimate", *ends(level), "patients")
    return [Figure(svg, "GATES: average effect in each fifth of held-out patients, sorted by what intake predicts; the "
                   "first fifth is predicted to benefit most.",
                   table(own[["group", "estimate", "lower", "upper", "n"]], head))]  # fmt: skip


def _toc(found: pd.DataFrame, words: Words, level: float) -> list[Figure]:
    own = _pick(found, "toc")
    share = [re.search(r"\d*\.?\d+", str(group)) for group in own["group"]]
    if len(own) < 3 or any(s is None for s in share):
        return []
    at = [float(s.group(0)) for s in share if s is not None]
    scale = 100.0 if max(at) <= 1 else 1.0
    own = own.assign(share=[scale * s for s in at]).sort_values("share")
    svg = charts.curve(own["share"].tolist(), own, label="targeting operator characteristic",
                       xlabel="share of patients, those ranked first, %",
                       ylabel="benefit beyond the average")  # fmt: skip
    head = ("share of patients, %", "estimate", *ends(level), "patients")
    return [Figure(svg, "TOC: how much larger the benefit of one point is among those ranked first (held out).",
                   table(own[["share", "estimate", "lower", "upper", "n"]], head, left=0))]  # fmt: skip
