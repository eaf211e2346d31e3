"""The first lines of the report: what was found, in a few sentences."""

from __future__ import annotations

from personalize.report import skill
from personalize.report.inputs import SMALLEST_GROUP, ReportInputs
from personalize.report.numbers import interval, num, p_value
from personalize.report.words import Words


def summary(inputs: ReportInputs, words: Words) -> list[str]:
    """Two to four sentences; what is not there is not mentioned here but in its section."""
    panel = inputs.panel
    out = [f"{num(panel.n_patients)} patients, {num(panel.n_sessions)} sessions, outcome {words.outcome}."]
    found = inputs.evaluation
    if found is not None:
        compared = skill.in_words(found)
        out += [f"The error of forecasts for new patients is {compared}."] if compared else []
    average, test = inputs.average, inputs.heterogeneity
    if average is not None:
        out.append(
            f"On average, one {words.alliance} point more goes with {num(average['estimate'])} "
            f"{interval(average['lower'], average['upper'])} points of {words.outcome} at the {words.when} session "
            f"(observational)."
        )
    if test is not None:
        intake = p_value(test.get("baseline_p_value", float("nan")))
        said = f"heterogeneity test {p_value(test['p_value'])}, by intake {intake}"
        if bool(test["detected"]):
            out.append(f"Patients differ in this ({said}).{_named(inputs, words)}")
        else:
            out.append(f"The data do not show that patients differ in this ({said}); nobody is ranked.")
    return out


def _named(inputs: ReportInputs, words: Words) -> str:
    if inputs.hinge is None:
        return ""
    n = int((inputs.hinge["verdict"] == f"hinges on {inputs.panel.columns.alliance}").sum())
    many = num(n) if n >= SMALLEST_GROUP or n == 0 else f"fewer than {SMALLEST_GROUP}"
    return f" The outcome of {many} of them is shown to hinge on {words.alliance}."
