"""Why a patient's effect differs from the average: the strongest moderators, and what the own sessions add."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRONGEST = 3


def strongest(contributions: pd.DataFrame, direction: float, *, k: int = STRONGEST) -> pd.DataFrame:
    """Rank each patient's moderators by how far they move the effect away from the average.

    Parameters
    ----------
    contributions : DataFrame of shape (n_patients, n_moderators)
        Shapley contributions to the baseline part of the effect, outcome points per alliance point.
    direction : float
        -1 where a lower outcome is better, else 1: turns an effect into a benefit.
    k : int

    Returns
    -------
    DataFrame, index patient id
        ``moderator_1`` ... (name; empty where none moves this patient), ``moderator_1_effect`` ... (signed, in the
        units of the effect) and ``moderator_1_direction`` ("more benefit", "less benefit").
    """
    values = contributions.to_numpy(dtype=float)
    names = np.array([str(name) for name in contributions.columns], dtype=object)
    order = np.argsort(-np.abs(values), axis=1, kind="stable") if values.size else np.zeros((len(values), 0), dtype=int)
    out = pd.DataFrame(index=contributions.index)
    for place in range(k):
        if place >= order.shape[1]:
            name, size = np.full(len(values), "", dtype=object), np.full(len(values), np.nan)
        else:
            size = np.take_along_axis(values, order[:, [place]], axis=1)[:, 0]
            moved = np.abs(size) > 0
            name = np.where(moved, names[order[:, place]], "")
            size = np.where(moved, size, np.nan)
        out[f"moderator_{place + 1}"] = name
        out[f"moderator_{place + 1}_effect"] = size
        words = np.where(direction * size > 0, "more benefit", "less benefit")
        out[f"moderator_{place + 1}_direction"] = np.where(np.isnan(size), "", words)
    return out


def in_words(
    table: pd.DataFrame, own_shift: Floats, similar_shift: Floats, direction: float, *, k: int = STRONGEST
) -> list[str]:
    """Sentences for each patient: intake columns with their direction, then the own and similar patients' sessions."""
    out = []
    for i in range(len(table)):
        row = table.iloc[i]
        parts = [
            f"{row[f'moderator_{j}']} by {_signed(row[f'moderator_{j}_effect'])} ({row[f'moderator_{j}_direction']})"
            for j in range(1, k + 1)
            if row[f"moderator_{j}"]
        ]
        intake = (
            f"Intake moves the effect away from the average: {', '.join(parts)}."
            if parts
            else "Intake does not move the effect away from the average."
        )
        out.append(f"{intake} {_moves('The own sessions', own_shift[i], direction)}")
        if np.isfinite(similar_shift[i]) and similar_shift[i] != 0:  # zero where patients are many
            out[-1] += " " + _moves("Those of similar patients", similar_shift[i], direction)
    return out


def _moves(whose: str, shift: float, direction: float) -> str:
    if not np.isfinite(shift) or shift == 0:
        return f"{whose} add nothing."
    return f"{whose} move it by {_signed(shift)} ({'more' if direction * shift > 0 else 'less'} benefit)."


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")
