"""Whether a panel of histories can be forecast by a model of another panel: what differs is noted, or refused."""

from __future__ import annotations

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
    encoder = model.encoder
    intake = [s for s, g in zip(encoder.sources, encoder.groups, strict=True) if g.startswith("baseline")]
    there = {*map(str, history.patients.columns), *(f"therapist_{name}" for name in history.therapists.columns)}
    gone = [name for name in dict.fromkeys(intake) if name.removesuffix("_missing") not in there and name not in there]
    if gone:
        notes.append(f"Intake columns of training that are not in this panel count as unknown: {listed(gone)}.")
    return notes
