"""The average effect with its sensitivity grid."""

from __future__ import annotations

import pandas as pd

from personalize.report import charts
from personalize.report.blocks import Figure, Section, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import interval, num, percent
from personalize.report.words import Words

ASSUMPTIONS = (
    "What this rests on: the data are observational. The estimate compares sessions of the same patient, so everything "
    "stable about a patient is held constant; it is the effect of the process only if nothing else that changes from "
    "session to session moves both the rating and the outcome that follows, if the outcome's own past and time are "
    "modelled rightly, and if staying in treatment does not depend on what is not measured."
)

LEFT_OUT = (
    "So this report says nothing of whether patients differ, of who hinges and for whom, and nobody is ranked; there "
    "is no slider on the patients' pages."
)


def title(words: Words) -> str:
    """Title of the section."""
    if not words.alliance:
        return "The average effect: not estimated"
    return f"The average effect of {words.alliance} on the {words.when} session"


def section(inputs: ReportInputs, words: Words) -> Section:
    """Corrected and uncorrected average, persistence, specification curve."""
    average = inputs.average
    if average is None:
        why = (
            "There is no process column, so no effect was estimated."
            if not inputs.panel.has_alliance
            else "No effect could be estimated from these data; the notes above say why."
        )
        return Section("effect", title(words), missing=f"{why} {LEFT_OUT}", short="Average effect")
    level = percent(inputs.level)
    estimate, lower, upper = (float(average[k]) for k in ("estimate", "lower", "upper"))
    improves = (estimate < 0) == (inputs.panel.better == "low")
    shown = lower > 0 or upper < 0
    verdict = "an improvement." if improves else "a worsening."
    if not shown:
        verdict = "the interval holds zero, so an effect is not shown."
    said = [
        f"One {words.alliance} point more than expected at a session goes with a change of {num(estimate)} points of "
        f"{words.outcome} at the {words.when} one ({level} confidence interval {interval(lower, upper)}): {verdict}"
    ]
    if inputs.new_patients:
        said.insert(0, "The average in the patients that the models were fitted to, not in the new ones.")
    if inputs.state_sd is not None:
        sd = float(inputs.state_sd)
        said.append(
            f"Per within-patient SD of {words.alliance} ({num(sd)} points): {num(estimate * sd)} "
            f"{interval(lower * sd, upper * sd)}."
        )
    if inputs.persistence is not None:
        said.append(_memory(inputs.persistence, words))
    if shown and _known(average, "robustness_value"):
        said.append(
            f"Robustness value {num(average['robustness_value'], 2)}: something unmeasured would have to explain "
            f"{percent(average['robustness_value'])} of what is left of both {words.alliance} and {words.outcome} at "
            f"the {words.when} session to bring the average to zero."
        )
    said.append(ASSUMPTIONS)
    corrected = bool(average.get("corrected", True))
    rows = [("corrected" if corrected else "used (not corrected)", estimate, lower, upper)]
    if _known(average, "uncorrected"):
        ends = [float(average[f"uncorrected{k}"]) for k in ("", "_lower", "_upper")]
        rows.append(("before short-panel correction", ends[0], ends[1], ends[2]))
    trends = (("trends_kept", "patients' own trends kept"), ("trends_removed", "own trends removed"))
    weighed = all(_known(average, key) for key, _ in trends)
    if weighed:
        rows += [(name, float(average[key]), float("nan"), float("nan")) for key, name in trends]
    svg = charts.forest(
        rows, label="average effect", zero=0.0, xlabel=f"{words.outcome} points per {words.alliance} point"
    )
    behind = pd.DataFrame(rows, columns=["estimate of", "estimate", "lower", "upper"])
    head = ("estimate of", "estimate", f"lower {level}", f"upper {level}")
    caption = "The average effect. The first line is the one used"
    caption += "; it shrinks own trends as far as they vary, and need not lie between the last two." if weighed else "."
    figures = [Figure(svg, caption, table(behind, head))]
    return Section("effect", title(words), said, [*figures, *grid(inputs.sensitivity, words)], short="Average effect")


def _memory(memory: pd.Series, words: Words) -> str:
    """What is carried over from one session to the next; says so where that is not clear."""
    share, error = float(memory["estimate"]), float(memory["se"])
    size = f"{percent(share)} (standard error {percent(error)})"
    if share - 1.645 * error > 0:
        return (
            f"Of a deviation of {words.outcome}, {size} is carried over to the next session, so a change that is kept "
            "up accumulates."
        )
    return f"Whether a deviation of {words.outcome} is carried over to the next session is not clear: {size}."


def grid(found: pd.DataFrame | None, words: Words) -> list[Figure]:
    """Specification curve with its table; specifications without an estimate stand in the table alone."""
    if found is None or found.empty:
        return []
    names = {"centring": "centring", "detrend": "own trend", "lag": "lag", "correction": "correction",
             "lagged_outcome": "lagged outcome", "specification": "specification"}  # fmt: skip
    choices = {old: new for old, new in names.items() if old in found.columns}
    frame = found.rename(columns=choices).copy()
    for new in choices.values():
        frame[new] = (
            frame[new].map(lambda v: {True: "yes", False: "no"}.get(v, v) if isinstance(v, bool) else v).astype(str)
        )
    frame["default"] = found["default"].astype(bool) if "default" in found.columns else False
    known = frame[frame["estimate"].notna()]
    if known.empty:
        return []
    svg = charts.specifications(known, list(choices.values()), ylabel=f"{words.outcome} per {words.alliance} point")
    above = int((known["estimate"] < 0).sum())
    caption = (
        f"Other choices: the average under every combination of choices, {above} of {len(known)} below zero. Large "
        "dots: the two solutions, own trends kept and removed, with whose dynamics the average above is corrected. "
        "Lag 2 asks for the effect two sessions on, and choices without correction are known to be biased; they stand "
        "here so that nothing is hidden."
    )
    count = "n_patients" if "n_patients" in frame.columns else "n"
    columns = [*choices.values(), *(c for c in ("note",) if c in frame), "estimate", "lower", "upper",
               *(c for c in (count,) if c in frame)]  # fmt: skip
    shown = table(frame[columns].rename(columns={count: "n"}), left=len(columns) - 3 - (count in frame))
    return [Figure(svg, caption, shown)]


def _known(series: pd.Series, key: str) -> bool:
    return key in series and pd.notna(series[key])
