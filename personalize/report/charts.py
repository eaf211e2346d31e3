"""The pictures of the overview, each from one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from features.panel import Panel
from personalize.report.numbers import interval, num, percent
from personalize.report.svg import Plot, padded, ticks

Row = tuple[str, float, float, float]

SHOWN_LINES = 60
MOST_TICKED = 400  # patients whose intervals are drawn one by one


def forest(rows: Sequence[Row], *, label: str, xlabel: str, zero: float | None = None, strong: int = 1) -> Markup:
    """Estimates with intervals, one a line; the first ``strong`` ones stand out."""
    height = 58 + 26 * len(rows)
    ends = padded([v for row in rows for v in row[1:]], include=() if zero is None else (zero,))
    plot = Plot(ends, (len(rows) - 0.5, -0.5), label=label, xlabel=xlabel, height=height, left=232)
    plot.axes(y_ticks=[])
    if zero is not None:
        plot.segment(zero, -0.5, zero, len(rows) - 0.5, "zero")
    for place, (name, estimate, lower, upper) in enumerate(rows):
        kind = " strong" if place < strong else ""
        plot.segment(lower, place, upper, place, f"whisker{kind}")
        plot.dot(estimate, place, f"dot{kind}", title=f"{name}: {num(estimate)} {interval(lower, upper)}")
        short = name if len(name) <= 34 else name[:33] + "…"
        plot._text(222, plot.sy(place) + 4, short, f"tick end{kind}")
    return plot.render()


def rows_of(frame: pd.DataFrame, name: str, estimate: str = "estimate") -> list[Row]:
    """Rows of a `forest` from a frame: a column with the names, the estimate, lower and upper."""
    return [(str(r[name]), float(r[estimate]), float(r["lower"]), float(r["upper"])) for _, r in frame.iterrows()]


def whole(first: int, last: int) -> list[float]:
    """Ticks of an axis that counts: whole numbers only."""
    found = [at for at in ticks((float(first), float(max(last, first + 1))), 8) if at == int(at)]
    far = len(found) < 2 or found[0] - first > 0.3 * (found[1] - found[0])  # else the first two would run together
    return found if found[0] == first or not far else [float(first), *found]


def courses(panel: Panel, outcome: str) -> tuple[Markup, pd.DataFrame] | None:
    """Mean outcome by observed session with the middle 80 % of patients, and a few single courses.

    Returns the picture and its table: session (k-th observed), mean, lower, upper (10th and 90th percentile), n;
    sessions of fewer than five patients are left out.
    """
    frame = pd.DataFrame({"k": panel.occasion + 1, "y": panel.outcome}).dropna()
    by = frame.groupby("k")["y"]
    table = pd.DataFrame({"mean": by.mean(), "lower": by.quantile(0.1), "upper": by.quantile(0.9), "n": by.size()})
    table = table[table["n"] >= 5].reset_index(names="session")
    if table.empty:
        return None
    last = int(table["session"].max())
    long = np.flatnonzero(panel.sessions_per_patient >= 2)
    chosen = long[:: max(len(long) // SHOWN_LINES, 1)][:SHOWN_LINES]
    near = np.isin(panel.patient_index, chosen) & (panel.occasion < last)
    ends = padded([*panel.outcome[near], *table["lower"], *table["upper"]])
    plot = Plot((1, max(last, 2)), ends, label=f"course of {outcome}", xlabel="observed session", ylabel=outcome)
    plot.axes(x_ticks=whole(1, last))
    for i in chosen:
        rows = slice(panel.offsets[i], min(panel.offsets[i + 1], panel.offsets[i] + last))
        plot.line(panel.occasion[rows] + 1.0, panel.outcome[rows], "thread")
    x = table["session"].tolist()
    plot.band(x, table["lower"].tolist(), table["upper"].tolist()).line(x, table["mean"], "line strong")
    return plot.render(), table


def lengths(panel: Panel) -> tuple[Markup, pd.DataFrame]:
    """How many sessions patients have; groups under five are put together at the end."""
    counts = np.bincount(panel.sessions_per_patient)
    table = pd.DataFrame({"sessions": np.arange(len(counts)), "patients": counts})
    table = table[table["patients"] > 0]
    top = max(float(counts.max(initial=1)), 1.0)
    plot = Plot((-0.6, len(counts) - 0.4), (0, top * 1.08), label="sessions per patient", xlabel="sessions of a "
        "patient",
                ylabel="patients", height=220)  # fmt: skip
    plot.axes(x_ticks=whole(0, len(counts) - 1))
    for k, n in table.itertuples(index=False):
        if n >= 5:
            plot.box(k - 0.4, k + 0.4, 0, float(n), title=f"{k} sessions: {n} patients")
    few = table["patients"] < 5
    shown = table.assign(patients=table["patients"].astype(str).where(~few, "< 5"))
    return plot.render(), shown


def variance(tables: dict[str, pd.DataFrame]) -> Markup:
    """Stacked bars: how much is therapist, patient (trait), session (state and error)."""
    plot = Plot((0, 1), (len(tables) - 0.5, -0.5), label="variance shares", xlabel="share of the variance",
                height=64 + 54 * len(tables), left=150)  # fmt: skip
    plot.axes(y_ticks=[], x_ticks=[0, 0.25, 0.5, 0.75, 1])
    for place, (name, table) in enumerate(tables.items()):
        plot._text(140, plot.sy(place) + 4, name[:22], "tick end")
        start = 0.0
        for level in ("therapist", "patient", "session"):
            row = table[table["level"] == level]
            if row.empty:
                continue
            share = float(row["share"].iloc[0])
            plot.box(start, start + share, place - 0.34, place + 0.34, f"share {level}",
                     title=f"{name}, {level}: {percent(share)}")  # fmt: skip
            for text in (f"{level} {percent(share)}", percent(share)):  # the longest text that fits
                if 6.6 * len(text) < plot.sx(start + share) - plot.sx(start):
                    plot.write(start + share / 2, place + 0.08, text, f"inside mid {level}")
                    break
            start += share
    return plot.render()


def calibration(table: pd.DataFrame) -> Markup:
    """Stated against observed probabilities."""
    plot = Plot((0, 1), (0, 1), label="calibration of the forecast", xlabel="stated probability",
                ylabel="share of outcomes at or below", width=460, height=400)  # fmt: skip
    plot.axes().segment(0, 0, 1, 1, "zero")
    own = table[table["horizon"] == "all"]
    x = own["probability"].tolist()
    plot.band(x, own["lower"].tolist(), own["upper"].tolist()).line(x, own["share"], "line strong")
    for p, share in zip(x, own["share"], strict=True):
        plot.dot(p, share, "dot strong", radius=3, title=f"stated {percent(p)}, observed {percent(share)}")
    return plot.render()


def caterpillar(table: pd.DataFrame, names: Sequence[str], *, ylabel: str) -> Markup:
    """Benefits of all patients with intervals, largest first (``table`` sorted; benefit, benefit_lower, _upper)."""
    n = len(table)
    mid, low, high = (table[c].to_numpy(dtype=float) for c in ("benefit", "benefit_lower", "benefit_upper"))
    plot = Plot((0, n + 1), padded([*low, *high], include=(0.0,)), label="benefit of every patient with its interval",
                xlabel="patients, largest benefit first", ylabel=ylabel, height=340).axes()  # fmt: skip
    plot.segment(0, 0, n + 1, 0, "zero")
    x = np.arange(1, n + 1)
    if n <= MOST_TICKED:
        for i in range(n):
            kind = "whisker good" if low[i] > 0 else "whisker bad" if high[i] < 0 else "whisker faint"
            plot.segment(x[i], low[i], x[i], high[i], kind)
            plot.dot(x[i], mid[i], "dot", radius=2.2, title=f"{names[i]}: {num(mid[i])} {interval(low[i], high[i])}")
    else:
        plot.band(x.tolist(), low.tolist(), high.tolist())
    if n > MOST_TICKED:
        plot.line(x, mid, "line strong")
    return plot.render()


def curve(x: Sequence[float], table: pd.DataFrame, *, label: str, xlabel: str, ylabel: str) -> Markup:
    """A line with its band, and zero."""
    plot = Plot(padded(x), padded([*table["lower"], *table["upper"]], include=(0.0,)), label=label, xlabel=xlabel,
                ylabel=ylabel, height=300).axes()  # fmt: skip
    ends = padded(x)
    plot.segment(ends[0], 0, ends[1], 0, "zero")
    plot.band(x, table["lower"].tolist(), table["upper"].tolist()).line(x, table["estimate"], "line strong")
    return plot.render()


def specifications(table: pd.DataFrame, choices: Sequence[str], *, ylabel: str) -> Markup:
    """Specification curve: estimates from small to large, and below them which choice each one made.

    Parameters
    ----------
    table : DataFrame
        The choices (as texts), estimate, lower, upper, default (bool).
    choices : sequence of str
        Columns that say what was chosen.

    Source: Simonsohn, Simmons & Nelson 2020, Nat Hum Behav 4, 1208.
    """
    rows = table.sort_values("estimate", kind="stable").reset_index(drop=True)
    lines = [(name, value) for name in choices for value in dict.fromkeys(table[name])]
    below = 17 * len(lines) + 14
    ends = padded([*rows["lower"], *rows["upper"]], include=(0.0,))
    plot = Plot((-0.7, len(rows) - 0.3), ends, label="average effect under every specification", ylabel=ylabel,
                height=250 + below, bottom=below, left=190)  # fmt: skip
    plot.axes(x_ticks=[]).segment(-0.7, 0, len(rows) - 0.3, 0, "zero")
    for at, row in rows.iterrows():
        x, kind = float(str(at)), " strong" if row["default"] else ""
        plot.segment(x, row["lower"], x, row["upper"], f"whisker{kind}")
        said = ", ".join(f"{name}: {row[name]}" for name in choices)
        plot.dot(x, row["estimate"], f"dot{kind}", title=f"{num(row['estimate'])} "
            f"{interval(row['lower'], row['upper'])}; {said}",
                 radius=5 if row["default"] else 3)  # fmt: skip
        for place, (name, value) in enumerate(lines):
            if row[name] == value:
                y = plot.height - below + 18 + 17 * place
                plot.parts.append(f'<circle class="dot" cx="{plot.sx(x):.1f}" cy="{y}" r="2.6"/>')
    for place, (name, value) in enumerate(lines):
        plot._text(180, plot.height - below + 22 + 17 * place, f"{name}: {value}"[:32], "tick end")
    return plot.render()
