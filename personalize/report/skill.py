"""How the forecast compares with the simplest one, in words that its interval bears out."""

from __future__ import annotations

import pandas as pd

from personalize.report.numbers import between, percent


def in_words(evaluation: pd.DataFrame) -> str:
    """Compare the mean absolute error with that of the last observation carried forward; empty where there is none.

    Examples
    --------
    >>> row = {"forecaster": "forecaster", "landmark": 0, "horizon": "all", "metric": "skill"}
    >>> in_words(pd.DataFrame([{**row, "estimate": 0.2, "lower": 0.15, "upper": 0.25}]))
    'smaller by 20 % (95 % interval 15 to 25) than with the last observation carried forward'
    >>> in_words(pd.DataFrame([{**row, "estimate": 0.01, "lower": -0.1, "upper": 0.12}]))
    'not shown to be smaller than with the last observation carried forward (by 1 %, 95 % interval −10 to 12)'
    """
    found = evaluation[
        (evaluation["forecaster"] == "forecaster")
        & (evaluation["landmark"] == 0)
        & (evaluation["horizon"] == "all")
        & (evaluation["metric"] == "skill")
    ]
    if found.empty:
        return ""
    row = found.iloc[0]
    share = float(row["estimate"])
    lower, upper = (round(100 * row[k], 1) for k in ("lower", "upper"))
    other = "than with the last observation carried forward"
    if row["lower"] > 0:
        return f"smaller by {percent(share)} (95 % interval {between(lower, upper, 2)}) {other}"
    if row["upper"] < 0:
        return f"larger by {percent(-share)} (95 % interval {between(-upper, -lower, 2)}) {other}"
    return f"not shown to be smaller {other} (by {percent(share)}, 95 % interval {between(lower, upper, 2)})"
