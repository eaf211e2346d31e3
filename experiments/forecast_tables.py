"""Tables of held-out forecasts: accuracy beside every contender, coverage, path bands; long, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.compare import compare
from personalize.trajectories.evaluate import scores, summarise
from personalize.trajectories.held_out import FORECASTER, HeldOut

STACKED = "regression + mixed model"
DIFFERENCES = (
    "Differences: paired by patient, 95 % by bootstrap of patients; below zero the forecaster is better. The best "
    "single baseline is the one that came out best here, which favours it. All other limits: accuracy.csv."
)
LENGTHS = ((1, 1), (2, 3), (4, 6), (7, 10_000))  # sessions of a path, for coverage by length


def pooled(parts: Sequence[HeldOut], *, same_patients: bool = False) -> HeldOut:
    """Held-out forecasts of several clinics, or of several splits of the same patients into folds, as one.

    Patients of different clinics are different patients; splits of the same patients are averaged within each.
    """

    def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
        if same_patients:
            return pd.concat([frame.assign(split=i) for i, frame in enumerate(frames)], ignore_index=True)
        named = [frame.assign(patient=[f"{i}:{p}" for p in frame["patient"]]) for i, frame in enumerate(frames)]
        return pd.concat(named, ignore_index=True)

    return HeldOut(joined([part.rows for part in parts]), joined([part.paths for part in parts]), parts[0].level)


def accuracy_table(name: str, held: HeldOut, n_bootstrap: int) -> pd.DataFrame:
    """Mean errors, coverage and width of every contender, and the forecaster's paired difference to each in percent.

    Columns ``mae_percent``, ``mae_lower``, ``mae_upper`` and the same for crps (95 %, bootstrap of patients): below
    zero, the forecaster is better.
    """
    found = summarise(held, n_bootstrap=n_bootstrap)
    overall = found[found["landmark"] == 0].pivot(index="forecaster", columns="metric", values="estimate")
    out = overall[["mae", "crps", "coverage", "width", "skill"]].copy()
    for other in overall.index.drop(FORECASTER):
        difference = compare(held, other, n_bootstrap=n_bootstrap)
        difference = difference[difference["landmark"] == 0].set_index("metric")
        for metric in ("mae", "crps"):
            row = difference.loc[f"{metric}_percent"]
            columns = [f"{metric}_percent", f"{metric}_lower", f"{metric}_upper"]
            out.loc[other, columns] = row[["estimate", "lower", "upper"]].to_numpy(dtype=float)
    patients = held.rows["patient"].nunique()
    return out.sort_values("crps").reset_index().assign(data=name, patients=patients)


def coverage_table(name: str, held: HeldOut) -> pd.DataFrame:
    """Coverage of the forecaster's interval by landmark, by horizon and by fifth of severity, taken one at a time."""
    score = scores(held)
    own = score[score["forecaster"] == FORECASTER]
    out = [(name, "all", "all", *_share(own, "coverage"))]
    for group in ("landmark", "horizon", "severity"):
        for value, part in own[own["severity"] > 0].groupby(group, sort=group != "horizon"):
            out.append((name, group, str(value), *_share(part, "coverage")))
    return pd.DataFrame(out, columns=["data", "group", "value", "coverage", "lower", "upper", "patients"])


def path_table(name: str, held: HeldOut) -> pd.DataFrame:
    """How often the forecaster's band held the whole path, and how much wider than the interval it is.

    All paths, by landmark, and by how many sessions the path has.
    """
    own = held.paths[held.paths["forecaster"] == FORECASTER]
    groups = [("all", "all", own)]
    groups += [("landmark", str(k), part) for k, part in own.groupby("landmark")]
    groups += [("sessions", _length(low, high), own[own["sessions"].between(low, high)]) for low, high in LENGTHS]
    out = []
    for group, value, part in groups:
        if len(part):
            ratio = part["width"].mean() / part["pointwise_width"].mean()
            out.append((name, group, value, *_share(part.astype({"held": float}), "held"), ratio))
    return pd.DataFrame(
        out, columns=["data", "group", "value", "coverage", "lower", "upper", "patients", "width_ratio"]
    )


def _length(low: int, high: int) -> str:
    return f"{low} or more" if high > 999 else str(low) if low == high else f"{low} to {high}"


def _share(part: pd.DataFrame, column: str) -> tuple[float, float, float, int]:
    """Share over rows, its 95 % limits from the patients' shares, and how many patients."""
    each = part.groupby("patient")[column].mean()
    error = 1.96 * each.std() / np.sqrt(len(each))
    share = float(part[column].mean())
    return share, share - error, share + error, len(each)


def markdown(accuracy: pd.DataFrame, coverage: pd.DataFrame, paths: pd.DataFrame) -> str:
    """The tables as Markdown, for some data sets side by side."""
    data = list(dict.fromkeys(accuracy["data"]))
    parts = _accuracy_rows(accuracy, data), _difference_rows(accuracy, data), f"{DIFFERENCES}\n"
    return "\n".join((*parts, _coverage_rows(coverage, paths, data)))


def _accuracy_rows(accuracy: pd.DataFrame, data: list[str]) -> str:
    """MAE / CRPS / coverage of every contender, the forecaster first, the others by their mean CRPS."""
    cells = accuracy.set_index(["forecaster", "data"])
    order = accuracy.groupby("forecaster")["crps"].mean().sort_values().index
    rows = [
        ["MAE / CRPS / coverage", *data],
        ["patients forecast", *(str(cells.loc[(FORECASTER, d), "patients"]) for d in data)],
    ]
    for name in [FORECASTER, *order.drop(FORECASTER)]:
        shown = [
            " / ".join([f"{cells.loc[(name, d), 'mae']:.2f}", f"{cells.loc[(name, d), 'crps']:.2f}",
                        _decimal(cells.loc[(name, d), "coverage"])])
            if (name, d) in cells.index
            else "–"
            for d in data
        ]  # fmt: skip
        rows.append([f"**{name}**" if name == FORECASTER else name, *shown])
    return _table(rows)


def _difference_rows(accuracy: pd.DataFrame, data: list[str]) -> str:
    """The forecaster against the best single baseline and against each contender, in percent."""
    cells = accuracy.set_index(["data", "forecaster"])
    rows = [["forecaster minus …, % [95 %]", *data]]
    for metric in ("mae", "crps"):
        best = []
        for d in data:
            own = accuracy[(accuracy["data"] == d) & accuracy["forecaster"].isin(list(BASELINES))]
            first = own.sort_values(metric).iloc[0]
            best.append(f"{_difference(first, metric)} ({first['forecaster']})")
        rows.append([f"**best single baseline, {metric.upper()}**", *best])
    order = accuracy.groupby("forecaster")["crps"].mean().sort_values().index.drop(FORECASTER)
    for name, metric in ((STACKED, "crps"), *((name, "mae") for name in order)):
        shown = [_difference(cells.loc[(d, name)], metric) if (d, name) in cells.index else "–" for d in data]
        rows.append([f"{name}, {metric.upper()}", *shown])
    return _table(rows)


def _difference(row: pd.Series, metric: str) -> str:
    low, high = row[f"{metric}_lower"], row[f"{metric}_upper"]
    return f"{_signed(row[f'{metric}_percent'])} [{_signed(low)}, {_signed(high)}]"


def _coverage_rows(coverage: pd.DataFrame, paths: pd.DataFrame, data: list[str]) -> str:
    """Coverage of intervals and path bands, one grouping a row."""
    rows = [["coverage of 90 % intervals", *data]]
    words = {
        "all": "all",
        "landmark": "by landmark",
        "horizon": "next / later / last",
        "severity": "fifths of severity",
    }
    for group, shown in words.items():
        rows.append([shown, *(_listed(coverage, d, group, "coverage") for d in data)])
    smallest = [coverage[(coverage["data"] == d) & (coverage["group"] == "severity")]["patients"].min() for d in data]
    rows.append(["patients behind the smallest fifth", *map(str, smallest)])
    lengths = "sessions (" + " / ".join(_length(low, high) for low, high in LENGTHS) + ")"
    for group, shown in (("all", "all"), ("landmark", "by landmark"), ("sessions", f"by its {lengths}")):
        for column, title in (("coverage", "whole path held"), ("width_ratio", "width in widths of the interval")):
            rows.append([f"{title}, {shown}", *(_listed(paths, d, group, column) for d in data)])
    return _table(rows)


def _listed(table: pd.DataFrame, data: str, group: str, column: str) -> str:
    own = table[(table["data"] == data) & (table["group"] == group)]
    return " / ".join(_decimal(value) for value in own[column])


def _decimal(value: float) -> str:
    """Two decimals; no zero before the point."""
    return f"{value:.2f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"
