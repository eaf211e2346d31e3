"""For whom, at group level: moderators, honest subgroups, and who is in each fifth."""

from __future__ import annotations

from personalize.explain.subgroups import Subgroups
from personalize.report import charts
from personalize.report.blocks import Figure, Section, table
from personalize.report.inputs import ReportInputs
from personalize.report.words import Words

TITLE = "For whom: what goes with a larger or smaller effect"
MOST = 12


def section(inputs: ReportInputs, words: Words) -> Section:
    """Ranked moderators with intervals, partial dependence, an honest tree, the fifths."""
    found = inputs.subgroups
    if not isinstance(found, Subgroups):
        return Section(
            "whom",
            TITLE,
            missing="No effect was estimated, or no intake columns came; nothing to compare.",
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
    top = found.moderators.head(MOST)
    rows = charts.rows_of(top, "moderator")
    head = ("moderator", "average size", "lower", "upper", "direction", "patients")
    svg = charts.forest(
        rows, label="moderators", xlabel="average size of the contribution to the effect", zero=0.0, strong=0
    )
    columns = ["moderator", "estimate", "lower", "upper", "direction", "n"]
    figures = [Figure(svg, "Moderators by how far they move patients from the average (bootstrap over clusters).",
                      table(found.moderators[columns], head))]  # fmt: skip
    tables = []
    if len(found.dependence):
        shown_frame = found.dependence[found.dependence["moderator"].isin(top["moderator"].head(4))]
        parts = ("moderator", "value", "predicted effect", "patients")
        tables.append(("Predicted effect when one characteristic is set to a value (partial dependence)",
                       table(shown_frame[["moderator", "value", "estimate", "n"]], parts, left=2)))  # fmt: skip
    if len(found.tree):
        names = ("subgroup", "effect", "lower", "upper", "patients")
        tables.append(("Honest subgroups: split on some clusters, estimated on the others",
                       table(found.tree[["subgroup", "estimate", "lower", "upper", "n"]], names)))  # fmt: skip
    if len(found.fifths):
        tables.append(("Who is in each fifth of the predicted benefit (mean or share)", table(found.fifths)))
    return Section("whom", TITLE, said, figures, tables, short="For whom")
