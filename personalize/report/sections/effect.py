"""The average effect with its sensitivity grid."""

from __future__ import annotations

from typing import Any

import pandas as pd

from personalize.report import charts
from personalize.report.blocks import Figure, Section, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import interval, num
from personalize.report.words import Words

ASSUMPTIONS = (
    "What this rests on: the data are observational. The estimate compares sessions of the same patient, so everything "
    "stable about a patient is held constant; it is the effect of the process only if nothing else that changes from "
    "session to session moves both the rating and the next outcome, if the outcome's own past and time are modelled "
    "rightly, and if staying in treatment does not depend on what is not measured."
)


def title(words: Words) -> str:
    """Title of the section."""
    return f"The average effect of {words.alliance or 'the process'} on the next session"


def section(inputs: ReportInputs, words: Words) -> Section:
    """Corrected and uncorrected average, persistence, specification curve."""
    average = inputs.average
    if average is None:
        why = (
            "There is no process column (Columns(alliance=...)), so no effect was estimated."
            if not inputs.panel.has_alliance
            else "No effect could be estimated from these data; the notes above say why."
        )
        return Section("effect", title(words), missing=why)
    level = f"{100 * float(average.get('level', 0.90)):.0f} %"
    estimate, lower, upper = (float(average[k]) for k in ("estimate", "lower", "upper"))
    improves = (estimate < 0) == (inputs.panel.better == "low")
    verb = "improves" if improves else "worsens"
    shown = "" if lower > 0 or upper < 0 else " The interval holds zero: an effect is not shown."
    said = [
        f"One {words.alliance} point more than expected at a session goes with a change of {num(estimate)} points of "
        f"{words.outcome} at the next one ({level} confidence interval {interval(lower, upper)}), which {verb} it.{shown}"
    ]
    if inputs.state_sd is not None:
        sd = float(inputs.state_sd)
        said.append(
            f"Per within-patient SD of {words.alliance} ({num(sd)} points): {num(estimate * sd)} "
            f"{interval(lower * sd, upper * sd)}."
        )
    memory = inputs.persistence
    if memory is not None:
        said.append(
            f"{words.outcome} carries {num(memory['estimate'], 2)} (SE {num(memory['se'], 2)}) of a deviation over to the "
            "next session, so a change that is kept up accumulates."
        )
    if _known(average, "robustness_value"):
        said.append(f"Robustness value: {num(average['robustness_value'], 2)}.")
    said.append(ASSUMPTIONS)
    rows = [("corrected", estimate, lower, upper)]
    if _known(average, "uncorrected"):
        ends = [float(average[f"uncorrected{k}"]) for k in ("", "_lower", "_upper")]
        rows.append(("before short-panel correction", ends[0], ends[1], ends[2]))
    frame = inputs.sensitivity
    if frame is not None and len(frame):
        rows += [(row_name(row), *(float(row[k]) for k in ("estimate", "lower", "upper"))) for _, row in frame.iterrows()]
    svg = charts.forest(rows, label="average effect under several specifications", zero=0.0,
                        xlabel=f"{words.outcome} points per {words.alliance} point")  # fmt: skip
    behind = pd.DataFrame(rows, columns=["specification", "estimate", "lower", "upper"])
    caption = "The average effect, and what it would be under other choices. The first line is the one used."
    head = ("specification", "estimate", f"lower {level}", f"upper {level}")
    tables = []
    if frame is not None and len(frame):
        words_first = frame[[*(c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])),
                             *(c for c in frame if pd.api.types.is_numeric_dtype(frame[c]))]]  # fmt: skip
        n_words = sum(not pd.api.types.is_numeric_dtype(frame[c]) for c in frame)
        tables.append(("All specifications", table(words_first, left=n_words)))
    return Section("effect", title(words), said, [Figure(svg, caption, table(behind, head))], tables)


def row_name(row: Any) -> str:
    """Name of a specification: its texts, joined."""
    return ", ".join(str(v) for v in row if isinstance(v, str) and v)


def _known(series: pd.Series, key: str) -> bool:
    return key in series and pd.notna(series[key])
