"""From a panel to the columns of a mixed model: time, the process that can move each row's outcome, person means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import NotEnoughData, OptionError, check_option
from features.panel import Panel
from personalize.mixed.fit import fit_mixed
from personalize.mixed.result import MixedFit
from personalize.mixed.sums import Array

Clock = Literal["log_session", "session", "log_time", "time"]
CLOCKS = ("log_session", "session", "log_time", "time")
Method = Literal["REML", "ML"]


def clock(panel: Panel, time: Clock) -> Array:
    """Time of every session row.

    ``session`` and ``time`` are the panel's own; ``log_session`` is log(1 + session - first), first the panel's lowest
    session number; ``log_time`` is log(1 + (time - first) / unit), unit the median gap between successive sessions.
    """
    check_option("time", time, CLOCKS)
    number = panel.session.astype(float)
    if time == "session":
        return number
    if time == "time":
        return panel.time
    if time == "log_session":
        sessions: Array = np.log1p(number - number.min(initial=np.inf))
        return sessions
    gaps = np.diff(panel.time)[np.diff(panel.patient_index) == 0]
    gaps = gaps[gaps > 0]
    unit = float(np.median(gaps)) if len(gaps) else 1.0
    out: Array = np.log1p((panel.time - panel.time.min(initial=np.inf)) / unit)
    return out


def acting(panel: Panel, values: Array) -> Array:
    """The value of a session process that can first move each row's outcome.

    With ``timing="before"`` that of the row itself; with ``timing="after"`` that of the patient's previous row (missing
    at the first row).
    """
    if panel.timing == "before":
        return values
    return previous(panel, values)


def previous(panel: Panel, values: Array) -> Array:
    """The value at the patient's previous session row; missing at the first."""
    out = np.full(len(values), np.nan)
    out[1:] = values[:-1]
    out[panel.offsets[:-1][panel.sessions_per_patient > 0]] = np.nan
    return out


def split_by_patient(panel: Panel, values: Array, used: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Person mean over the rows in use, and the deviation from it; missing elsewhere."""
    who = panel.patient_index[used]
    count = np.bincount(who, minlength=panel.n_patients)
    total = np.bincount(who, weights=values[used], minlength=panel.n_patients)
    between, within = np.full(len(values), np.nan), np.full(len(values), np.nan)
    mean = total / np.maximum(count, 1)
    between[used] = mean[who]
    apart = values[used] - mean[who]
    # a process that is constant within a patient must leave exactly nothing, not rounding errors to fit slopes on
    within[used] = np.where(np.abs(apart) > 1e-12 * np.abs(values[used]), apart, 0.0)
    return between, within


def needs_process(panel: Panel) -> str:
    """The alliance column's name, or an error that says how to name one."""
    if panel.columns.alliance is None:
        raise OptionError("This model needs a within-person process; name its column with Columns(alliance=...).")
    return panel.columns.alliance


def fit_rows(
    panel: Panel,
    fixed: dict[str, Array],
    random: list[str],
    *,
    therapist: bool,
    method: Method,
    correlated: bool,
    notes: tuple[str, ...] = (),
) -> MixedFit:
    """Fit the panel's outcome on named columns, some of them random over patients, an intercept added to both.

    Therapists get a random intercept where there are at least two of them and one treats more than one patient.
    """
    columns = {"intercept": np.ones(panel.n_sessions), **fixed}
    design = np.column_stack(list(columns.values()))
    own = np.column_stack([columns[name] for name in ["intercept", *random]])
    used = np.isfinite(panel.outcome) & np.isfinite(design).all(axis=1)
    if not used.any():
        raise NotEnoughData(
            f"{panel.names['sessions']}: no session has {panel.columns.outcome!r} and {', '.join(map(repr, fixed))}."
        )
    who = panel.patient_index[used]
    said = list(notes)
    dropped = panel.n_sessions - int(used.sum())
    if dropped:
        said.append(f"{dropped} of {panel.n_sessions} sessions were left out: outcome or predictor missing.")
    idle = panel.n_patients - len(np.unique(who))
    if idle:
        said.append(f"{idle} of {panel.n_patients} patients have no usable session.")
    staff = _staff(panel, np.unique(who), therapist, said)
    fit = fit_mixed(
        panel.outcome[used],
        design[used],
        own[used],
        who,
        None if staff is None else staff[who],
        method=method,
        correlated=correlated,
        names={"outcome": [panel.columns.outcome], "fixed": list(columns), "patient": ["intercept", *random]},
    )
    effects = fit.patient_effects.set_axis(panel.patient_ids[fit.patient_effects.index.to_numpy(dtype=np.intp)])
    upper = fit.therapist_effects
    if staff is not None:
        upper = upper.set_axis(panel.therapist_ids[upper.index.to_numpy(dtype=np.intp)])
    return replace(
        fit,
        patient_effects=effects,
        therapist_effects=upper,
        n_dropped=dropped,
        notes=(*said, *fit.notes),
    )


def _staff(panel: Panel, patients: NDArray[np.intp], wanted: bool, notes: list[str]) -> NDArray[Any] | None:
    """Therapist code of each patient, missing for none; None where the level cannot be estimated."""
    own = panel.therapist_index
    treated = own[patients][own[patients] >= 0]
    if not wanted or not len(treated):
        return None
    if len(np.unique(treated)) < 2 or len(np.unique(treated)) == len(treated):
        notes.append(
            "No therapist level: it takes two therapists and one who treats more than one patient; "
            f"{len(np.unique(treated))} therapists treat {len(treated)} patients here."
        )
        return None
    return pd.Series(own).where(own >= 0).to_numpy()
