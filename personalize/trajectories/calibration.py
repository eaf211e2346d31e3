"""Whether forecast probabilities come true: the share of outcomes below each quantile, as a table and as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.held_out import FORECASTER, HeldOut


def calibration_table(held: HeldOut, *, forecaster: str = FORECASTER) -> pd.DataFrame:
    """Share of outcomes at or below each quantile, by horizon.

    Parameters
    ----------
    held : HeldOut
    forecaster : str

    Returns
    -------
    DataFrame
        Long: horizon ("all" too), probability (stated), share (observed; ties count half), lower, upper (95 %, over
        patients, each counting once), n (patients).
    """
    rows = held.rows[held.rows["forecaster"] == forecaster]
    out = []
    groups = [("all", rows), *((str(name), own) for name, own in rows.groupby("horizon", sort=False))]
    for horizon, own in groups:
        patient = own["patient"].to_numpy()
        _, code = np.unique(patient, return_inverse=True)
        count = np.bincount(code)
        for probability in QUANTILES:
            quantile = own[quantile_name(probability)].to_numpy()
            outcome = own["outcome"].to_numpy()
            below = (outcome < quantile) + 0.5 * (outcome == quantile)
            each = np.bincount(code, below) / count
            share, error = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else np.nan
            out.append((horizon, probability, share, share - 1.96 * error, share + 1.96 * error, len(each)))
    return pd.DataFrame(out, columns=["horizon", "probability", "share", "lower", "upper", "n"])


def plot_calibration(table: pd.DataFrame, ax: Any = None) -> Any:
    """Draw stated against observed probabilities; a calibrated forecast lies on the diagonal.

    Parameters
    ----------
    table : DataFrame
        From `calibration_table`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(5, 5), layout="constrained").subplots()
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
    for style, (horizon, own) in zip(
        ("-", "--", "-.", (0, (1, 1)), (0, (5, 1))), table.groupby("horizon", sort=False), strict=False
    ):
        ax.plot(own["probability"], own["share"], linestyle=style, marker="o", markersize=3, label=str(horizon))
        if horizon == "all":
            ax.fill_between(own["probability"], own["lower"], own["upper"], alpha=0.2, linewidth=0)
    ax.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="stated probability", ylabel="share of outcomes at or below", aspect="equal"
    )
    ax.legend(frameon=False)
    return ax
