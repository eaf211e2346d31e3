"""The first lines of the report: what was found, in a few sentences."""

from __future__ import annotations

import pandas as pd

from personalize.explain.verdicts import SURE, hinges
from personalize.report import skill
from personalize.report.inputs import SMALLEST_GROUP, ReportInputs
from personalize.report.numbers import between, num, percent
from personalize.report.sections.differ import tested
from personalize.report.words import Words


def summary(inputs: ReportInputs, words: Words) -> list[str]:
    """Two to four sentences; what is not there is not mentioned here but in its section."""
    panel = inputs.panel
    people = "new patients" if inputs.new_patients else "patients"
    out = [
        f"{num(panel.n_patients)} {people}, {num(panel.n_sessions)} sessions; the outcome is {words.outcome} "
        f"({words.better} is better)."
    ]
    found = inputs.evaluation
    if found is not None:
        compared = skill.in_words(found)
        out += [f"The error of forecasts for new patients is {compared}."] if compared else []
    average, test = inputs.average, inputs.heterogeneity
    if average is not None:
        out.append(_average(average, inputs, words))
    if inputs.new_patients and average is not None:
        out.append("New patients are not ranked among each other; the report of the run says who hinges, and for whom.")
    elif test is not None:
        out.append(tested(test, "this") + (_named(inputs, words) if bool(test["detected"]) else " Nobody is ranked."))
    return out


def _average(average: pd.Series, inputs: ReportInputs, words: Words) -> str:
    """The average effect with its interval, and which direction that is."""
    lower, upper = float(average["lower"]), float(average["upper"])
    improves = (float(average["estimate"]) < 0) == (inputs.panel.better == "low")
    shown = "an improvement" if improves else "a worsening"
    if lower <= 0 <= upper:
        shown = "not shown to differ from 0"
    level = percent(inputs.level)
    where = "In the run that the models come from" if inputs.new_patients else "On average"
    change = f"{num(average['estimate'])} points ({level} interval {between(lower, upper)})"
    return (
        f"{where}, one {words.alliance} point more than expected goes with a change of {change} of {words.outcome} at "
        f"the {words.when} session: {shown}. The data are observational."
    )


def _named(inputs: ReportInputs, words: Words) -> str:
    if inputs.hinge is None:
        return ""
    n = int((inputs.hinge["verdict"] == hinges(str(inputs.panel.columns.alliance))).sum())
    if n == 0:
        return f" Nobody is named as hinging on {words.alliance}."
    many = num(n) if n >= SMALLEST_GROUP else f"fewer than {SMALLEST_GROUP}"
    return (
        f" Named as hinging on {words.alliance}: {many}, for whom a benefit is at least {percent(SURE)} probable and "
        "who are more likely than not among those with the largest."
    )
