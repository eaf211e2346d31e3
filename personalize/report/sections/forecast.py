"""How well the course is forecast, beside every baseline."""

from __future__ import annotations

import pandas as pd

from personalize.explain.attributions import average_attributions
from personalize.explain.tree_attributions import average_tree_attributions
from personalize.report import charts, skill
from personalize.report.blocks import Figure, Section, Table, table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import between, num, percent
from personalize.report.words import Words

OWN, SIMPLE = "forecaster", "last observation"
MOST_INPUTS = 15
NO_TREES = (
    "No single inputs are shown: that would take boosted trees apart, one part of the forecast, and in these data they "
    "found nothing to correct in what regression and growth model say. That is the rule in data of usual size."
)
TITLE = "How well the course is forecast"


def section(inputs: ReportInputs, words: Words) -> Section:
    """Accuracy, calibration, and what the forecasts rest on."""
    found = inputs.evaluation
    said: list[str] = []
    figures: list[Figure] = []
    tables: list[tuple[str, Table]] = []
    if found is not None:
        said, figures, tables = _accuracy(found, words)
    if inputs.calibration is not None:
        frame = inputs.calibration[inputs.calibration["horizon"] == "all"]
        head = ("stated probability", "observed share", "lower 95 %", "upper 95 %", "patients")
        shown = table(frame[["probability", "share", "lower", "upper", "n"]], head, left=0)
        caption = "Calibration in patients not seen in training: on the dotted line, stated probabilities come true."
        figures.append(Figure(charts.calibration(inputs.calibration), caption, shown))
    if inputs.attributions is not None:
        figures.append(_groups(average_attributions(inputs.attributions), words))
    if inputs.tree_attributions is not None:
        average = average_tree_attributions(inputs.tree_attributions, patient=inputs.panel.columns.patient)
        figures += _single(average[average["size"] > 0])
        said += [] if average["size"].any() else [NO_TREES]
    if not figures:
        return Section(
            "forecast", TITLE, missing="No forecast could be made or judged; the notes above say why.", short="Forecast"
        )
    return Section("forecast", TITLE, said, figures, tables, short="Forecast")


def _accuracy(found: pd.DataFrame, words: Words) -> tuple[list[str], list[Figure], list[tuple[str, Table]]]:
    overall = found[(found["landmark"] == 0) & (found["horizon"] == "all") & (found["group"] == "all")]
    mae = overall[overall["metric"] == "mae"].sort_values("estimate").set_index("forecaster")
    said = []
    if OWN in mae.index:
        own = mae.loc[OWN]
        said.append(
            f"Cross-validated on new patients, forecasts of {words.outcome} miss by {num(own['estimate'])} points on "
            f"average (mean absolute error; 95 % interval {between(own['lower'], own['upper'])}; {num(own['n'])} "
            "patients)."
        )
        compared = skill.in_words(found)
        if SIMPLE in mae.index:
            said.append(f"Their error is {compared}, which misses by {num(mae.loc[SIMPLE, 'estimate'])} points.")
        covered = overall[(overall["metric"] == "coverage") & (overall["forecaster"] == OWN)]
        if len(covered):
            row = covered.iloc[0]
            said.append(
                f"The forecast interval held {percent(row['estimate'])} of the outcomes (coverage; 95 % interval "
                f"{between(100 * row['lower'], 100 * row['upper'])} %)."
            )
    order = [OWN, *(name for name in mae.index if name != OWN)] if OWN in mae.index else list(mae.index)
    rows = charts.rows_of(mae.loc[order].reset_index(), "forecaster")
    svg = charts.forest(rows, label="error of the forecast and its baselines", xlabel=f"mean absolute error, "
        f"{words.outcome} points")  # fmt: skip
    frame = mae.loc[order].reset_index()[["forecaster", "estimate", "lower", "upper", "n"]]
    shown = table(frame, ("forecast", "mean absolute error", "lower 95 %", "upper 95 %", "patients"))
    figures = [Figure(svg, "Error in patients not seen in training, averaged over landmarks and horizons.", shown)]
    cells = found[(found["landmark"] != 0) & (found["group"] == "all") & found["metric"].isin(["mae", "coverage"])]
    cells = cells[cells["forecaster"].isin([OWN, SIMPLE])]
    cells = cells.sort_values("forecaster", key=lambda c: c != OWN, kind="stable")
    cells = cells.assign(metric=cells["metric"].replace("mae", "mean absolute error"))
    wide = cells[["forecaster", "metric", "landmark", "horizon", "estimate", "lower", "upper", "n"]]
    head = ("forecast", "metric", "sessions seen", "horizon", "estimate", "lower 95 %", "upper 95 %", "patients")
    return said, figures, [("By sessions seen and horizon", table(wide, head, left=4))]


def _groups(frame: pd.DataFrame, words: Words) -> Figure:
    frame = frame[frame["size"] > 0].sort_values("size", ascending=False)
    frame = frame.assign(group=[_named(str(group), words) for group in frame["group"]])
    rows = charts.rows_of(frame, "group", "size")
    svg = charts.forest(rows, label="what forecasts rest on", xlabel=f"average size of the contribution, "
        f"{words.outcome} points",
                        zero=0.0, strong=0)  # fmt: skip
    head = ("group of inputs", "mean, signed", "average size", "lower 95 %", "upper 95 %", "forecasts")
    caption = (
        "What moves forecasts away from the background (Shapley values, averaged). Baseline: what is known at intake. "
        + (f"Trait: the level of {words.alliance} so far; state: how the last ratings lie to it. " if words.alliance
           else "")
        + "This explains the forecast; it does not say what would happen if an input were changed."
    )  # fmt: skip
    return Figure(svg, caption, table(frame, head))


def _single(average: pd.DataFrame) -> list[Figure]:
    """Single inputs of the boosted trees; nothing where the trees move no forecast."""
    if average.empty:
        return []
    top = average.head(MOST_INPUTS)
    svg = charts.forest(
        charts.rows_of(top, "input", "size"), label="single inputs", xlabel="average size, points", zero=0.0, strong=0
    )
    caption = (
        "One part of the forecast by single inputs: the boosted trees, which correct the other members of the forecast "
        "(TreeSHAP times their weight, next session). Inputs that say nearly the same share the credit, in part by "
        "chance."
    )
    head = ("input", "group of inputs", "mean, signed", "average size", "lower 95 %", "upper 95 %", "patients")
    columns = ["input", "group", "mean", "size", "lower", "upper", "n"]
    return [Figure(svg, caption, table(top[columns], head, left=2))]


def _named(group: str, words: Words) -> str:
    return group.replace("alliance", words.alliance) if words.alliance else group
