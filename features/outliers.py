"""Scores that stand alone: typing errors, most of them, where no measure's range would catch them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.errors import SHOWN, counted, listed

FAR = 10.0  # typical deviations from the patient's median: no normal deviation lies farther out, few of heavy tails do
NORMAL = 1.4826  # SD of a normal variable in units of its median absolute deviation


def standing_out(values: NDArray[np.float64], who: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Mark scores that lie more than `FAR` typical deviations from the median of the patient's scores.

    Parameters
    ----------
    values : array of shape (n,)
        In the data's units; missing values are never marked.
    who : int array of shape (n,)
        Patient of each score.

    Returns
    -------
    bool array of shape (n,)
        The typical deviation is 1.4826 times the median absolute deviation from patients' medians (Hampel 1974, JASA
        69, 383), pooled over patients; where that is zero (more than half of the scores stand at their median) nothing
        is marked, nor are scores of patients with fewer than three.
    """
    away = np.abs(values - pd.Series(values).groupby(who).transform("median").to_numpy())
    several = pd.Series(values).groupby(who).transform("count").to_numpy() > 2
    known = np.isfinite(away) & several
    typical = NORMAL * float(np.median(away[known])) if known.any() else 0.0
    return np.asarray(known & (away > FAR * typical)) if typical > 0 else np.zeros(len(values), dtype=bool)


def typing_errors(
    name: str,
    values: NDArray[np.float64],
    who: NDArray[np.intp],
    session: ArrayLike,
    ids: Sequence[object] | pd.Index[Any] | NDArray[np.object_],
) -> list[str]:
    """A sentence that names the scores that stand out, with session and patient; none where there are none."""
    rows, numbers = np.flatnonzero(standing_out(values, who)), np.asarray(session, dtype=float)
    if not len(rows):
        return []
    shown = "; ".join(
        f"{values[row]:g} at session {numbers[row]:g} of {listed([ids[who[row]]])}" for row in rows[:SHOWN]
    )
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return [
        f"{counted(len(rows), 'value')} of {name!r} far from the patient's other scores ({shown}{more}): a typing "
        "error? One such value can move the average effect; correct it, or name the measure to have its range held."
    ]
