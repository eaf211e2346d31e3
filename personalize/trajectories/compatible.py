"""Whether a panel of histories can be forecast by a model of another panel: what differs is noted, or refused."""

from __future__ import annotations

import pandas as pd

from features.build import build_features
from features.errors import OptionError, PanelError, listed
from features.panel import Panel
from personalize.trajectories.model import ForecastModel


def compatible(model: ForecastModel, history: Panel) -> list[str]:
    """Hold a panel against the one of training.

    Returns
    -------
    list of str
        What is missing and so counts as unknown.

    Raises
    ------
    PanelError
        When the outcome is another column, or one of the two has a time column and the other has none.
    """
    if not isinstance(history, Panel):
        raise OptionError(f"history: a Panel is needed, {type(history).__name__} came.")
    if history.n_patients == 0:
        raise PanelError("history: the panel holds no patient; there is nothing to forecast.")
    then, now, table = model.trained_on, history.columns, history.names["sessions"]
    if now.outcome != then["outcome"]:
        raise PanelError(
            f"{table}: the outcome is {now.outcome!r}; this forecaster was trained on {then['outcome']!r}. Name the "
            "same column with Columns(outcome=...), or train anew."
        )
    if (now.time is not None) != then["timed"]:
        have, had = ("a", "none") if now.time is not None else ("no", "one")
        raise PanelError(
            f"{table}: the panel has {have} time column, the one of training had {had}; horizons cannot be compared. "
            "Pass the same Columns as in training."
        )
    notes = []
    if then["alliance"] is None:
        notes.append("Trained without an alliance column: forecasts rest on outcome, intake and time.")
    elif now.alliance != then["alliance"]:
        notes.append(f"The histories have no {then['alliance']!r}; what it would have said is left at its average.")
    encoder, given = model.encoder, build_features(history, landmark=0)
    of = zip(encoder.sources, encoder.groups, encoder.levels, strict=True)
    number = {source: level is None for source, group, level in of if group.startswith("baseline")}
    if gone := [name for name in number if name not in given.columns]:
        notes.append(f"Intake columns of training that are not in this panel count as unknown: {listed(gone)}.")
    known = {name: set[str]() for name in number if number[name]} | then["categories"]
    for name in (name for name in known if name in given.columns):
        text = not pd.api.types.is_numeric_dtype(given[name].dtype)
        odd = set(given[name].dropna().map(str)) - set(known[name]) if text or not number.get(name) else set()
        if odd:
            notes.append(
                f"Intake column {name!r}: {listed(sorted(odd))} was not there in training and counts as unknown."
            )
    return notes
