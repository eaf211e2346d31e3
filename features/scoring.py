"""Item answers to scores: reversed items, subscales, and a rule for missing items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.errors import OptionError, PanelError, listed
from features.measures import Measure, measure
from features.windows import Floats


def score_items(
    frame: pd.DataFrame, instrument: str | Measure, prorate: float = 0.2, *, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Score the items of an instrument to its total and subscales.

    A missing item is replaced by the mean of the answered items of the same scale (reversed ones turned first), as
    long as no more than the share ``prorate`` of the scale's items is missing; else the scale's score is missing.

    Parameters
    ----------
    frame : DataFrame
        One row an administration, one column an item.
    instrument : str or Measure
        Name in the registry, or a measure of your own.
    prorate : float
        Largest share of missing items, 0 to below 1. 0: every item must be answered.
    columns : sequence of str, optional
        The item columns from item 1 on; all columns of ``frame`` in their order by default.

    Returns
    -------
    DataFrame, index of ``frame``
        ``total``, one column a subscale, and ``items_missing``.

    Raises
    ------
    OptionError
        Where the measure lacks the item range, the columns are not as many as its items, or ``prorate`` is outside
        [0, 1).
    PanelError
        Where an answer is no number or outside the item range.

    Examples
    --------
    >>> answers = pd.DataFrame([[0, 1, 2, 3, 0, 1, 2], [1, 1, 1, None, 1, 1, 1]])
    >>> score_items(answers, "gad7")["total"].tolist()
    [9.0, 7.0]
    """
    scale = measure(instrument) if isinstance(instrument, str) else instrument
    if not 0 <= prorate < 1:
        raise OptionError(f"prorate={prorate!r} is not allowed; give a share from 0 to below 1.")
    names = list(frame.columns) if columns is None else list(columns)
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise OptionError(f"columns: {listed(absent)} is not in the table; it has {listed(frame.columns, 8)}.")
    if scale.items is None or scale.item_minimum is None or scale.item_maximum is None:
        raise OptionError(
            f"measure {scale.name!r} cannot be scored from items: the registry does not hold its item range or key. "
            f"{scale.note} Give a measure of your own with items, item_minimum, item_maximum and reversed_items."
        )
    if len(names) != scale.items:
        raise OptionError(
            f"measure {scale.name!r} has {scale.items} items, {len(names)} columns came; name the item columns, from "
            "item 1 on, with columns=[...]."
        )
    answers = _answers(frame, names, scale)
    turned = np.array([item in scale.reversed_items for item in range(1, scale.items + 1)])
    answers = np.where(turned, scale.item_minimum + scale.item_maximum - answers, answers)
    scores = {"total": _score(answers, scale, prorate)}
    for name, items in scale.subscales.items():
        scores[name] = _score(answers[:, np.asarray(items) - 1], scale, prorate)
    scores["items_missing"] = np.isnan(answers).sum(axis=1).astype(float)
    return pd.DataFrame(scores, index=frame.index)


def _answers(frame: pd.DataFrame, names: list[str], scale: Measure) -> Floats:
    """Answers as floats, shape (n_rows, n_items); refuses what is no answer."""
    out = np.empty((len(frame), len(names)))
    for place, name in enumerate(names):
        given = frame[name]
        values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        wrong = np.isnan(values) & given.notna().to_numpy()
        outside = (values < scale.item_minimum) | (values > scale.item_maximum)
        if (wrong | outside).any():
            row = int(np.flatnonzero(wrong | outside)[0])
            raise PanelError(
                f"items: column {name!r} has {listed([given.iloc[row]])} in row {row + 1}; items of {scale.name} run "
                f"from {scale.item_minimum:g} to {scale.item_maximum:g} ({int((wrong | outside).sum())} such values). "
                "Mark missing answers as missing, or correct them."
            )
        out[:, place] = values
    return out


def _score(answers: Floats, scale: Measure, prorate: float) -> Floats:
    seen = ~np.isnan(answers)
    n = seen.sum(axis=1)
    enough = (n > 0) & (answers.shape[1] - n <= prorate * answers.shape[1] + 1e-9)
    mean = np.full(len(answers), np.nan)
    np.divide(np.where(seen, answers, 0.0).sum(axis=1), n, out=mean, where=enough)
    size = 1 if scale.scoring == "mean" else answers.shape[1]
    score: Floats = mean * size * scale.multiply
    return score
