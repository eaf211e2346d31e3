"""One row a session with everything a panel knows of it, for other programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features import Panel
from personalize.files.table import Table


def long_table(panel: Panel) -> Table:
    """One row a session: patient, therapist, session, time, scores, then the patient's intake columns.

    Where time was given as dates, ``time`` is days since the patient's first session, and the dates stay beside it. The
    therapist is blank for patients without one; patients without sessions have no row.
    """
    columns = panel.columns
    out: dict[str, Any] = {columns.patient: panel.patient_ids.take(panel.patient_index)}
    if panel.n_therapists:
        therapist = panel.therapist_index[panel.patient_index]
        names = np.asarray([*panel.therapist_ids.astype(str), None], dtype=object)
        out[str(columns.therapist)] = pd.Series(names[therapist])
    out[columns.session] = panel.session
    if columns.time is not None:
        if panel.calendar is not None:
            out[columns.time] = pd.Timestamp("1970-01-01") + pd.to_timedelta(panel.calendar, unit="D")
            out[_free("time_days", panel)] = panel.time
        else:
            out[columns.time] = panel.time
    for name in columns.scores:
        out[name] = panel.sessions[name].to_numpy()
    for name in panel.patients.columns:
        key = str(name) if str(name) not in out else f"{name}_intake"
        out[key] = panel.patients[name].take(panel.patient_index).reset_index(drop=True)
    frame = pd.DataFrame({name: pd.Series(values).reset_index(drop=True) for name, values in out.items()})
    labels = {name: text for name, text in panel.labels.items() if name in frame.columns}
    return Table(frame, "panel", labels=labels)


def time_column(panel: Panel) -> str:
    """The column of the long table that holds time as a number."""
    if panel.columns.time is None:
        return panel.columns.session
    return panel.columns.time if panel.calendar is None else _free("time_days", panel)


def _free(name: str, panel: Panel) -> str:
    taken = {panel.columns.patient, panel.columns.session, panel.columns.time, *panel.columns.scores}
    while name in taken:
        name += "_"
    return name
