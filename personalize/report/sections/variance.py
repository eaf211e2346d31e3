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
    said = []
    own = inputs.alliance_variance
    if own is not None:
        share = own.set_index("level")["share"]
        session = own.set_index("level").loc["session"]
        therapist = (
            f"; {percent(share['therapist']).removesuffix(' %')} percentage points of it between therapists"
            if "therapist" in share
            else ""
        )
        said.append(
            f"{percent(1 - share['session'])} of the variance of {words.alliance} is stable between patients "
            f"(trait{therapist}); {percent(session['share'])} (95 % interval "
            f"{between(100 * session['lower'], 100 * session['upper'], 2)}) is change from session to session (state), "
            "which includes measurement error and any trend."
        )
    else:
        said.append("Without a process column, only the outcome's variance is divided.")
    frame = pd.concat([t.assign(column=name) for name, t in tables.items()])
    frame = frame[["column", "level", "variance", "share", "lower", "upper", "n"]]
    head = ("column", "level", "variance", "share", "lower 95 %", "upper 95 %", "units")
    several = any((frame["level"] == "therapist").any() for frame in tables.values())
    caption = (
        f"Share of the variance at each level; from left to right {'therapists, ' if several else ''}patients (trait) and "
        "sessions (state, error of measurement and trends). Restricted maximum likelihood, profile-likelihood intervals."
    )
    return Section(
        "variance", TITLE, said, [Figure(charts.variance(tables), caption, table(frame, head, left=2, count=""))]
    )
