"""Who hinges: the ranking with its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from personalize.explain.verdicts import meanings
from personalize.report import charts
from personalize.report.blocks import Figure, Section, Table
from personalize.report.inputs import SMALLEST_GROUP, ReportInputs
from personalize.report.names import Names
from personalize.report.numbers import chance, fixed, interval, num, percent
from personalize.report.words import Words

MOST_ROWS = 1000


def section(inputs: ReportInputs, words: Words, names: Names) -> Section:
    """Caterpillar of benefits, verdict counts, and the table of patients."""
    title = f"Who hinges on {words.alliance or 'the process'}"
    found = inputs.hinge
    if found is None:
        return Section("hinge", title, missing="No effect was estimated, so nobody is ranked.", short="Who hinges")
    settings = found.attrs
    sessions, level = settings.get("sessions", 4), float(settings.get("level", 0.90))
    said = [
        f"Signed benefit: by how many points of {words.outcome} the outcome would be better {sessions} sessions after "
        f"{words.alliance} is held {_shift(found)} above its expected course. Intervals hold "
        f"{100 * level:.0f} % of what is plausible for this patient."
    ]
    reason = [r for r in found["ranking_reason"].unique() if r]
    ranked = found["rank"].notna().any()
    if not ranked:
        said.append(f"No ranking: {reason[0] if reason else 'no effect could be estimated'}.")
    order = np.argsort(-found["benefit"].fillna(-np.inf).to_numpy(dtype=float), kind="stable")
    rows = found.iloc[order]
    known = rows["benefit"].notna().to_numpy()
    figures = []
    shown_names = [names.patients[i] for i in order]
    if known.any() and ranked:
        said.append(_least_known(found, settings))
        svg = charts.caterpillar(rows[known], [n for n, k in zip(shown_names, known, strict=True) if k],
                                 ylabel=f"benefit, {words.outcome} points")  # fmt: skip
        caption = "Every patient's benefit with its interval, largest first."
        if known.sum() <= charts.MOST_TICKED:
            caption += " Dark: the interval is above zero; dashed: below zero."
        figures.append(Figure(svg, caption, ends_counted(found)))
        unknown = found["p_reliable_reason"].iloc[0]
        said += [f"P(> reliable change) is not shown: {unknown}."] if isinstance(unknown, str) and unknown else []
        tables = [
            ("Verdicts", counts(found, words)),
            ("Patients, largest benefit first", ranking(rows, shown_names)),
        ]
    else:
        tables = [("Verdicts", counts(found, words))]
    return Section("hinge", title, said, figures, tables, short="Who hinges")


def _shift(found: pd.DataFrame) -> str:
    """How far the process is moved, in words: the same for everybody, or each patient's own SD."""
    points = found["shift"].dropna().to_numpy(dtype=float)
    if not len(points):
        return "one within-patient SD"
    if points.min() == points.max():
        usual = np.isclose(points[0], float(str(found.attrs.get("state_sd", "nan"))))
        return f"{num(points[0])} points" + (" (one within-patient SD)" if usual else "")
    middle = interval(*np.quantile(points, [0.1, 0.9]))
    return f"one SD of the patient's own (middle 80 % of patients {middle} points; drawn toward the others')"


def _least_known(found: pd.DataFrame, settings: Mapping[Any, Any]) -> str:
    p = found["p_top"].dropna().sort_values(ascending=False)
    top = float(str(settings.get("top", 0.2)))
    count = max(round(top * len(p)), 1)
    median = found["own_reliability"].median()
    return (
        f"How sure is the ranking? Of the {num(count)} patients most likely to be among the {percent(top)} with the "
        "largest benefit, "
        f"{percent(p.head(count).mean())} are expected to be among them. Median own-data reliability: {num(median, 2)}."
    )


def ends_counted(found: pd.DataFrame) -> Table:
    """How many intervals lie above zero, hold it, or lie below it; small groups suppressed."""
    above, below = found["benefit_lower"] > 0, found["benefit_upper"] < 0
    holds = found["benefit"].notna() & ~above & ~below
    groups = (("above zero", above), ("holds zero", holds), ("below zero", below))
    return Table(("interval of the benefit", "patients"), tuple((name, _many(int(own.sum()))) for name, own in groups))


def _many(n: int) -> str:
    """A number of patients; what would point at fewer than five is not said."""
    return f"< {SMALLEST_GROUP}" if 0 < n < SMALLEST_GROUP else num(n)


def counts(found: pd.DataFrame, words: Words) -> Table:
    """How many patients got each verdict, and what it means; small groups suppressed."""
    n, meant = found["verdict"].value_counts(), meanings(words.alliance)
    rows = [(str(k), _many(int(v)), meant.get(str(k), "")) for k, v in n.items()]
    return Table(("verdict", "patients", "meaning"), tuple(rows))


def ranking(rows: pd.DataFrame, shown: list[str]) -> Table:
    """One row a patient, largest benefit first; reliable change only where it is known."""
    reliable = bool(rows["p_reliable"].notna().any())
    head = ["rank", "patient", "verdict", "signed benefit", "interval", "P(benefit > 0)"]
    head += ["P(> reliable change)"] if reliable else []
    out = []
    for name, (_, row) in zip(shown[:MOST_ROWS], rows.head(MOST_ROWS).iterrows(), strict=True):
        name_1 = row["moderator_1"]
        moved = f"{name_1}: {row['moderator_1_direction']}" if isinstance(name_1, str) and name_1 else "–"
        out.append(
            (
                num(row["rank"]),
                name,
                str(row["verdict"]),
                num(row["benefit"]),
                interval(row["benefit_lower"], row["benefit_upper"]),
                chance(row["p_benefit"]),
                *((chance(row["p_reliable"]),) if reliable else ()),
                chance(row["p_top"]),
                fixed(row["own_reliability"]),
                moved,
            )
        )
    return Table((*head, "P(top)", "own-data reliability", "strongest moderator"), tuple(out), 3)
