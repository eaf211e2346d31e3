"""Figures for papers: each function takes tables, returns matplotlib axes, and reads in greyscale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from features.errors import OptionError
from features.panel import Panel
from personalize.report.inputs import ReportInputs
from personalize.trajectories.calibration import plot_calibration

INK, MIDDLE, PALE = "#1f4e79", "#7fa3c7", "#dce7f2"
SINGLE = 60  # courses drawn one by one


def spaghetti(panel: Panel, *, column: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw single courses, and the mean over patients at each observed session (at least five patients).

    Parameters
    ----------
    panel : Panel
    column : str, optional
        The outcome by default; any score column of the sessions.
    ax : Axes, optional
    """
    ax = _axes(ax)
    name = panel.columns.outcome if column is None else column
    values, order = panel.sessions[name].to_numpy(dtype=float), panel.occasion + 1
    frame = pd.DataFrame({"k": order, "y": values}).dropna().groupby("k")["y"].agg(["mean", "size"])
    frame = frame[frame["size"] >= 5]
    long = np.flatnonzero(panel.sessions_per_patient >= 2)
    for i in long[:: max(len(long) // SINGLE, 1)][:SINGLE]:
        rows = slice(panel.offsets[i], panel.offsets[i + 1])
        ax.plot(order[rows], values[rows], color=MIDDLE, linewidth=0.5, alpha=0.5)
    ax.plot(frame.index, frame["mean"], color=INK, linewidth=2.5, label="mean of those still in treatment")
    ax.set(xlabel="observed session", ylabel=panel.labels.get(name, name))
    ax.legend(frameon=False)
    return ax


def variance_bars(tables: dict[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw variance shares of several columns (``variance_shares(...).table`` by the column's name)."""
    ax = _axes(ax, (6.0, 1.2 + 0.6 * len(tables)))
    styles = (("therapist", INK, ""), ("patient", MIDDLE, "//"), ("session", PALE, ""))
    left = np.zeros(len(tables))
    for level, color, hatch in styles:
        share = np.array([t.loc[t["level"] == level, "share"].sum() for t in tables.values()])
        ax.barh(list(tables), share, left=left, color=color, hatch=hatch, edgecolor="white", label=level)
        left = left + share
    ax.set(xlim=(0, 1), xlabel="share of the variance")
    ax.invert_yaxis()
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def caterpillar(hinge: pd.DataFrame, *, ax: Axes | None = None, ylabel: str = "signed benefit") -> Axes:
    """Draw every patient's benefit with its interval, largest first (from `personalize.explain.hinge`)."""
    ax = _axes(ax)
    rows = hinge.dropna(subset=["benefit"]).sort_values("benefit", ascending=False)
    x = np.arange(1, len(rows) + 1)
    ax.vlines(x, rows["benefit_lower"], rows["benefit_upper"], color=MIDDLE, linewidth=0.8)
    ax.plot(x, rows["benefit"], ".", color=INK, markersize=3)
    ax.axhline(0, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="patients, largest benefit first", ylabel=ylabel)
    return ax


def toc(validation: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the targeting operator characteristic with its band (from ``AllianceEffect.validate``)."""
    ax = _axes(ax)
    rows = validation[validation["statistic"] == "toc"]
    share = rows["group"].astype(str).str.extract(r"(\d*\.?\d+)", expand=False).astype(float)
    ax.fill_between(share, rows["lower"], rows["upper"], color=PALE)
    ax.plot(share, rows["estimate"], color=INK, linewidth=2)
    ax.axhline(0, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="share of patients ranked first (%)", ylabel="benefit beyond the average")
    return ax


def gates(validation: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the average effect in each fifth of predicted benefit (from ``AllianceEffect.validate``)."""
    ax = _axes(ax)
    rows = validation[validation["statistic"] == "gates"]
    x = np.arange(1, len(rows) + 1)
    ax.bar(x, rows["estimate"], color=PALE, edgecolor=INK)
    ax.vlines(x, rows["lower"], rows["upper"], color=INK)
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.set(xlabel="fifth by predicted benefit (1: largest)", ylabel="average effect", xticks=x)
    return ax


def calibration(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw stated against observed probabilities (from `calibration_table`)."""
    drawn: Axes = plot_calibration(table, ax)
    return drawn


def forecast_fan(panel: Panel, forecasts: pd.DataFrame, patient: Any, *, ax: Axes | None = None) -> Axes:
    """Draw one patient's sessions so far and the forecast fan (from `personalize.explain.fan`)."""
    ax = _axes(ax)
    place = panel.patient_ids.get_indexer(pd.Index([patient]))[0]
    if place < 0:
        raise OptionError(f"patient={patient!r} is not in the panel.")
    rows = slice(panel.offsets[place], panel.offsets[place + 1])
    own = forecasts[forecasts[panel.columns.patient] == patient]
    x = own[panel.columns.session].to_numpy(dtype=float)
    ax.fill_between(x, own["lower"].astype(float), own["upper"].astype(float), color=PALE)
    if {"q0.25", "q0.75"} <= set(own.columns):
        ax.fill_between(x, own["q0.25"].astype(float), own["q0.75"].astype(float), color=MIDDLE, alpha=0.6)
    ax.plot(x, own["mean"], color=INK, linewidth=2, linestyle="--", label="forecast")
    ax.plot(panel.session[rows], panel.outcome[rows], color="black", marker="o", markersize=3, label="observed")
    ax.set(xlabel="session", ylabel=panel.labels.get(panel.columns.outcome, panel.columns.outcome))
    ax.legend(frameon=False)
    return ax


def specification_curve(sensitivity: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the average effect under every specification, smallest first; the default ones filled."""
    ax = _axes(ax)
    rows = sensitivity.dropna(subset=["estimate"]).sort_values("estimate", kind="stable")
    x = np.arange(1, len(rows) + 1)
    chosen = rows["default"].to_numpy(dtype=bool)
    ax.vlines(x, rows["lower"], rows["upper"], color=MIDDLE)
    ax.plot(
        x[~chosen], rows["estimate"][~chosen], "o", color=INK, markerfacecolor="white", markersize=4, label="others"
    )
    ax.plot(x[chosen], rows["estimate"][chosen], "o", color=INK, markersize=6, label="default")
    ax.axhline(0, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="specifications, smallest estimate first", ylabel="average effect")
    ax.legend(frameon=False)
    return ax


def event_timeline(events: dict[str, pd.DataFrame], *, last: int, ax: Axes | None = None) -> Axes:
    """Draw how many events of each kind fall on each session, one line a kind.

    Parameters
    ----------
    events : dict of str to DataFrame
        Kind of event and a table with a ``session`` column (`features.events.ruptures`, or the rows that met the
        criteria of `features.events.sudden_changes`).
    last : int
        Last session drawn.
    ax : Axes, optional
    """
    ax = _axes(ax)
    styles = ("-", "--", ":", "-.")
    x = np.arange(1, last + 1)
    for place, (name, table) in enumerate(events.items()):
        count = np.bincount(table["session"].to_numpy(dtype=int).clip(0, last + 1), minlength=last + 2)[1 : last + 1]
        ax.plot(x, count, styles[place % len(styles)], color="black", marker=".", label=f"{name} ({int(count.sum())})")
    ax.set(xlabel="session", ylabel="events", ylim=(0, None))
    ax.legend(frameon=False)
    return ax


def save(ax: Axes, path: str | Path) -> list[Path]:
    """Write a figure as SVG and PDF; the same figure gives the same bytes.

    Parameters
    ----------
    ax : Axes
    path : str or Path
        Without suffix, or with one that is replaced.

    Returns
    -------
    list of Path
    """
    figure = ax.figure.get_figure(root=True)
    out = []
    with mpl.rc_context({"svg.hashsalt": "personalize", "svg.fonttype": "none", "pdf.fonttype": 42}):
        for suffix, metadata in ((".svg", {"Date": None}), (".pdf", {"CreationDate": None})):
            target = Path(path).with_suffix(suffix)
            figure.savefig(target, metadata=metadata)
            out.append(target)
    return out


def write_figures(folder: str | Path, inputs: ReportInputs) -> list[Path]:
    """Write every figure the inputs can tell into a folder, as SVG and PDF."""
    panel, target = inputs.panel, Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Axes] = {"courses": spaghetti(panel)}
    shares = {panel.columns.alliance: inputs.alliance_variance, panel.columns.outcome: inputs.outcome_variance}
    known = {str(name): table for name, table in shares.items() if table is not None}
    if known:
        drawn["variance"] = variance_bars(known)
    if inputs.calibration is not None:
        drawn["calibration"] = calibration(inputs.calibration)
    ranked = inputs.hinge is not None and inputs.hinge["rank"].notna().any()
    if inputs.hinge is not None and ranked:
        drawn["benefits"] = caterpillar(inputs.hinge)
    if inputs.validation is not None:
        drawn["gates"], drawn["toc"] = gates(inputs.validation), toc(inputs.validation)
    if inputs.sensitivity is not None:
        drawn["specifications"] = specification_curve(inputs.sensitivity)
    return [path for name, ax in drawn.items() for path in save(ax, target / name)]


def _axes(ax: Axes | None, size: tuple[float, float] = (6.0, 3.6)) -> Axes:
    """The axes that came, or new ones that no global state holds on to."""
    if ax is not None:
        return ax
    made: Axes = Figure(figsize=size, layout="constrained").subplots()
    return made
