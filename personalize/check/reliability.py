"""Reliability of a scale from its items: of one rating as it stands, and of its changes within patients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from personalize.check.loose import Floats, Ints


def item_reliability(items: Mapping[str, Floats], who: Ints) -> pd.DataFrame:
    """Cronbach's alpha of each scale on two levels, rows with all items answered.

    alpha = k / (k − 1) · (1 − trace S / sum S), with S the covariance matrix of the items: over all ratings ("rating"),
    and pooled within patients ("within"), which is the reliability of a deviation from the patient's own mean, the
    state-like part (two-level alpha: Geldhof, Preacher & Zyphur 2014, Psychological Methods 19, 72-91; Lai 2021,
    Psychological Methods 26, 90-102). The within matrix is the pooled one, with N − patients degrees of freedom.

    Returns
    -------
    DataFrame
        scale, level, alpha, n_items, n_ratings, n_patients, sem (standard error of measurement of the sum of the items,
        SD · √(1 − alpha); a report gives it in the units of the score), weakest (smallest correlation of an item with
        the sum of the others; below zero an item was probably not reversed).
    """
    rows = []
    for scale, grid in items.items():
        whole = np.isfinite(grid).all(axis=1)
        x, patient = grid[whole], who[whole]
        n_patients = len(np.unique(patient))
        for level in ("rating", "within"):
            free = len(x) - (1 if level == "rating" else n_patients)
            if free < 2:
                continue
            centred = x - x.mean(axis=0) if level == "rating" else x - _means(x, patient)[patient]
            matrix = centred.T @ centred / free
            alpha = _alpha(matrix)
            rows.append(
                {
                    "scale": scale,
                    "level": level,
                    "alpha": alpha,
                    "n_items": x.shape[1],
                    "n_ratings": len(x),
                    "n_patients": n_patients,
                    "sem": float(np.sqrt(max(matrix.sum() * (1 - alpha), 0.0))) if np.isfinite(alpha) else np.nan,
                    "weakest": _weakest(matrix),
                }
            )
    names = ["scale", "level", "alpha", "n_items", "n_ratings", "n_patients", "sem", "weakest"]
    return pd.DataFrame(rows, columns=names)


def _means(x: Floats, who: Ints) -> Floats:
    n = np.maximum(np.bincount(who), 1)
    return np.column_stack([np.bincount(who, column) / n for column in x.T])


def _alpha(matrix: Floats) -> float:
    k, total = len(matrix), float(matrix.sum())
    return float("nan") if total <= 0 else k / (k - 1) * (1 - float(np.trace(matrix)) / total)


def _weakest(matrix: Floats) -> float:
    own = np.diag(matrix)
    rest = matrix.sum(axis=0) - own
    spread = matrix.sum() - 2 * rest - own
    usable = (own > 0) & (spread > 0)
    return float((rest[usable] / np.sqrt(own[usable] * spread[usable])).min()) if usable.any() else float("nan")
