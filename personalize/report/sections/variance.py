"""How much of a rating is trait and how much is state."""

from __future__ import annotations

import pandas as pd

from personalize.report import charts
from personalize.report.blocks import Figure, Section, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import between, percent
from personalize.report.words import Words

TITLE = "Trait and state"


def section(inputs: ReportInputs, words: Words) -> Section:
    """Variance shares of process and outcome."""
    given = {words.alliance: inputs.alliance_variance, words.outcome: inputs.outcome_variance}
    tables = {name: frame for name, frame in given.items() if frame is not None}
    if not tables:
        return Section("variance", TITLE, missing="The variance could not be divided; the notes above say why.")
    said = [_divided(name, frame) for name, frame in tables.items()]
    frame = pd.concat([t.assign(column=name) for name, t in tables.items()])
    frame = frame[["column", "level", "variance", "share", "lower", "upper", "n"]]
    head = ("column", "level", "variance", "share", "lower 95 %", "upper 95 %", "units")
    several = any((frame["level"] == "therapist").any() for frame in tables.values())
    caption = (
        f"Share of the variance at each level; from left to right {'therapists, ' if several else ''}patients (trait) "
        "and sessions (state, error of measurement and trends). Restricted maximum likelihood, profile-likelihood "
        "intervals."
    )
    return Section(
        "variance", TITLE, said, [Figure(charts.variance(tables), caption, table(frame, head, left=2, count=""))]
    )


def _divided(name: str, frame: pd.DataFrame) -> str:
    """How much of one score is stable, and how much changes from session to session."""
    own = frame.set_index("level")
    session = own.loc["session"]
    share = own["share"]
    therapist = percent(share["therapist"]).removesuffix(" %") if "therapist" in share else ""
    apart = f"; {therapist} percentage points of it between therapists" if therapist else ""
    return (
        f"{percent(1 - share['session'])} of the variance of {name} is stable between patients (trait{apart}); "
        f"{percent(session['share'])} (95 % interval {between(100 * session['lower'], 100 * session['upper'], 2)}) is "
        "change from session to session (state), which includes measurement error and any trend."
    )
