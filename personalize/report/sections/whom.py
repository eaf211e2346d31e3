"""For whom, at group level: moderators, honest subgroups, and who is in each fifth."""

from __future__ import annotations

import pandas as pd

from personalize.explain.subgroups import Subgroups
from personalize.report import charts
from personalize.report.blocks import Figure, Section, Table, ends, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import num, percent
from personalize.report.words import Words

FIFTHS = "Who is in each fifth of the predicted benefit (mean, or share in %; fifth 1 benefits most)"
TITLE = "For whom: what goes with a larger or smaller effect"
MOST = 12
DEPENDENCES = 4  # moderators whose partial dependence is drawn
INTERVALS = (
    "Intervals come from fitting everything again without each tenth of the therapists (or patients): they say what "
    "other therapists would change. They do not count that small differences are drawn toward zero."
)


def section(inputs: ReportInputs, words: Words) -> Section:
    """Ranked moderators with intervals, partial dependence, an honest tree, the fifths."""
    found = inputs.subgroups
    if not isinstance(found, Subgroups):
        return Section(
            "whom",
            TITLE,
            missing="There is nothing to compare: no intake characteristic came or varies, or there are too few "
            "patients to learn from.",
            short="For whom",
        )
    shown = inputs.heterogeneity is not None and bool(inputs.heterogeneity["detected"])
    said = [
        "Which intake characteristics move the predicted effect most. A characteristic that moves the prediction "
        "goes with "
        "the effect; it need not be its cause."
    ]
    if not shown:
        said.append("Patients are not shown to differ, so read this as what the model would say, not as a finding.")
    level = inputs.level
    figures = [_ranked(found.moderators, words, level)]
    if len(found.dependence):
        figures.append(_dependence(found, words, level))
    tables = []
    if len(found.tree):
        names = ("subgroup", "effect", *ends(level), "patients")
        tables.append(("Honest subgroups: split on one half of the therapists (or patients), estimated on the other",
                       table(found.tree[["subgroup", "estimate", "lower", "upper", "n"]], names)))  # fmt: skip
    if len(found.fifths):
        tables.append((FIFTHS, fifths(found.fifths)))
    return Section("whom", TITLE, said, figures, tables, short="For whom")


def fifths(frame: pd.DataFrame) -> Table:
    """Means as numbers, shares as percentages; small groups were left empty where the table was made."""
    rows = []
    for row in frame.itertuples(index=False):
        name, unit, *values = row
        write = percent if unit == "share" else num
        rows.append((str(name), *(write(v) for v in values)))
    return Table(tuple(str(c) for c in frame.columns if c != "unit"), tuple(rows))


def _ranked(moderators: pd.DataFrame, words: Words, level: float) -> Figure:
    svg = charts.forest(
        charts.rows_of(moderators.head(MOST), "moderator"),
        label="moderators",
        xlabel=f"average size of the contribution, {words.outcome} points per {words.alliance} point",
        zero=0.0,
        strong=0,
    )
    shown = moderators[["moderator", "estimate", "lower", "upper", "direction", "n"]].copy()
    first, last = moderators["rank_lower"], moderators["rank_upper"]
    if first.notna().all():
        ranks = [f"{low:.0f} to {high:.0f}" for low, high in zip(first, last, strict=True)]
        shown.insert(4, "ranks", ranks)
    low, high = ends(level)
    names = {"estimate": "average size", "lower": low, "upper": high, "ranks": "plausible ranks", "n": "patients"}
    head = [names.get(str(c), str(c)) for c in shown.columns]
    return Figure(svg, "Moderators by how far they move patients from the average. " + INTERVALS, table(shown, head))


def _dependence(found: Subgroups, words: Words, level: float) -> Figure:
    first = found.moderators["moderator"].head(DEPENDENCES)
    frame = found.dependence[found.dependence["moderator"].isin(first)]
    rows = charts.rows_of(frame.assign(name=frame["moderator"] + ": " + frame["value"]), "name")
    svg = charts.forest(
        rows,
        label="partial dependence",
        xlabel=f"predicted effect, {words.outcome} points per {words.alliance} point",
        zero=0.0,
        strong=0,
    )
    caption = (
        "Partial dependence: the predicted effect when one characteristic is set to a value (low, middle and high of a "
        "number) and all others stay as they are. " + INTERVALS
    )
    head = ("moderator", "value", "predicted effect", *ends(level), "patients")
    return Figure(svg, caption, table(frame, head, left=2))
