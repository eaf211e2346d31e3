"""What data this is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalize.report import charts
from personalize.report.blocks import Figure, Section, Table, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import num, percent
from personalize.report.words import Words


def section(inputs: ReportInputs, words: Words) -> Section:
    """Counts, missing values, course and lengths of treatments."""
    panel = inputs.panel
    n = panel.sessions_per_patient
    therapists = f" of {num(panel.n_therapists)} therapists" if panel.n_therapists else ""
    said = [
        f"{num(panel.n_patients)} patients{therapists} with {num(panel.n_sessions)} sessions; {_lengths(n)}. "
        f"The outcome is {words.outcome} "
        f"({words.better} is better)"
        + (f"; the process within patients, whose effect is asked for, is {words.alliance}, rated "
           f"{panel.timing} the outcome of its session."
           if panel.has_alliance else "; there is no column for a process within patients, so only forecasts are "
               "made."),
    ]  # fmt: skip
    if not panel.n_therapists:
        said.append(
            "No therapists are named: differences between therapists cannot be told from those between patients."
        )
    figures = []
    drawn = charts.courses(panel, words.outcome)
    if drawn is not None:
        svg, frame = drawn
        head = ("observed session", "mean", "10th percentile", "90th percentile", "patients")
        figures.append(
            Figure(
                svg,
                f"{words.outcome} by observed session: mean (thick), middle 80 % of patients (shaded), single courses "
                "(thin). Who is still in treatment changes from session to session, so the mean is not a course that "
                "anybody follows.",
                table(frame, head),
            )
        )
    svg, frame = charts.lengths(panel)
    rows = tuple((str(k), str(v)) for k, v in frame.itertuples(index=False))
    figures.append(Figure(svg, "How many sessions patients have.", Table(("sessions", "patients"), rows)))
    return Section("data", "What data this is", said, figures, [("Columns", columns_table(inputs))], short="Data")


def _lengths(n: NDArray[np.intp]) -> str:
    """How many sessions the middle half of the patients has."""
    low, high = np.quantile(n, [0.25, 0.75])
    if low == high:
        return f"most patients have {num(low)} sessions"
    return f"half of the patients have between {num(low)} and {num(high)} sessions"


def columns_table(inputs: ReportInputs) -> Table:
    """Every score: range of its measure, mean, spread and share missing."""
    panel = inputs.panel
    rows = []
    for role, name in _roles(inputs):
        values = panel.sessions[name].to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        measure = panel.measures.get(name)
        text = "not named" if measure is None else (measure.title or measure.name)
        rows.append(
            (
                str(name),
                role,
                text,
                num(known.mean() if len(known) else np.nan),
                num(pd.Series(known).std()),
                percent(1 - len(known) / max(len(values), 1)),
            )
        )
    return Table(("column", "role", "measure", "mean", "SD", "missing"), tuple(rows), 3)


def _roles(inputs: ReportInputs) -> list[tuple[str, str]]:
    columns = inputs.panel.columns
    process = [("process", columns.alliance)] if columns.alliance is not None else []
    return [("outcome", columns.outcome), *process, *(("covariate", name) for name in columns.covariates)]
