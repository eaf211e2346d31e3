"""What can and cannot be analysed with this data, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalize.check.counts import intraclass, transitions
from personalize.check.loose import Loose

# Below "few" nothing is fitted; below "thin" it is, and one should know how little it can say.
FEW_PATIENTS = 10  # a forecast needs these with an outcome after their first session
THIN_PATIENTS = 100
OWN_STEPS = 3  # transitions a patient needs for an own slope with an error of its own
HALF_STEPS = 4  # two in each half of a treatment, for the half-panel correction of short-series bias
THIN_OWN = 50
FEW_THERAPISTS = 10  # below, folds cannot be cut by therapist
THIN_MODERATORS = 500  # patients below which moderators of an effect are rarely found


def analyses(data: Loose, intake_given: bool) -> pd.DataFrame:
    """One row an analysis: analysis, possible ("yes", "with care", "no"), why."""
    rows = [_forecast(data), *_alliance(data), _moderators(data, intake_given), _change(data), *_therapists(data)]
    rows.append(_history(data))
    return pd.DataFrame(rows, columns=["analysis", "possible", "why"])


def _forecast(data: Loose) -> tuple[str, str, str]:
    name = "forecast of the outcome"
    y = data.scores.get(data.columns.outcome)
    if y is None:
        return name, "no", f"there is no column {data.columns.outcome!r}"
    known = np.isfinite(y)
    followed = len(np.unique(data.who[known & (data.occasion > 0)]))
    if followed < FEW_PATIENTS:
        return name, "no", f"{followed} patients have an outcome after their first session; {FEW_PATIENTS} are needed"
    if len(np.unique(y[known])) < 2:
        return name, "no", "the outcome is the same in every session"
    if followed < THIN_PATIENTS:
        return (
            name,
            "with care",
            f"{followed} patients have an outcome after their first session: intervals will be wide",
        )
    return name, "yes", f"{followed} patients have an outcome after their first session"


def _alliance(data: Loose) -> list[tuple[str, str, str]]:
    average, own = "average effect of the alliance", "effect for single patients"
    column = data.columns.alliance
    if column is None:
        why = "no column plays the alliance's role; name it with Columns(alliance=...)"
        return [(average, "no", why), (own, "no", why)]
    if column not in data.scores:
        why = f"there is no column {column!r}"
        return [(average, "no", why), (own, "no", why)]
    steps = transitions(data)
    usable, own_patients, half = int(steps.sum()), int((steps >= OWN_STEPS).sum()), int((steps >= HALF_STEPS).sum())
    counted = f"{usable} usable steps from one session to the next in {int((steps > 0).sum())} patients"
    if own_patients < 2:
        why = f"{counted}; {own_patients} patients have the {OWN_STEPS} that a slope within a patient needs"
        return [(average, "no", why), (own, "no", why)]
    a = data.scores[column]
    known = np.isfinite(a)
    if len(np.unique(a[known])) < 2:
        why = f"{column!r} is the same in every session"
        return [(average, "no", why), (own, "no", why)]
    if half < FEW_PATIENTS:
        first = (
            "with care",
            f"{counted}; too short to correct the bias of short series ({half} patients have {HALF_STEPS})",
        )
    elif half < THIN_OWN:
        first = (
            "with care",
            f"{counted}; {half} patients have the {HALF_STEPS} that the correction for short series needs",
        )
    else:
        first = "yes", f"{counted}; {half} patients have {HALF_STEPS} or more"
    typical = int(np.median(steps[steps > 0]))
    share = intraclass(a[known], data.who[known], data.n_patients)
    within = "" if np.isnan(share) else f"; {1 - share:.0%} of the variance of {column!r} is within patients"
    if own_patients < THIN_OWN:
        second = "no", f"{own_patients} patients have {OWN_STEPS} steps or more, {THIN_OWN} are needed{within}"
    else:
        care = "yes" if typical >= 8 else "with care"
        short = "" if typical >= 8 else ": estimates will lean on the average"
        second = care, f"{own_patients} patients with {OWN_STEPS} steps or more, {typical} typically{short}{within}"
    return [(average, *first), (own, *second)]


def _moderators(data: Loose, given: bool) -> tuple[str, str, str]:
    name = "for whom: intake moderators"
    if not given or data.intake.shape[1] == 0:
        return name, "no", "no intake column; pass a patients table"
    if data.columns.alliance is None:
        return name, "no", "no column plays the alliance's role"
    useful = int((data.intake.nunique() > 1).sum())
    if useful == 0:
        return name, "no", "every intake column is constant"
    n = int((transitions(data) >= OWN_STEPS).sum())
    if n < THIN_OWN:
        return name, "no", f"{n} patients have a slope of their own, {THIN_OWN} are needed"
    if n < THIN_MODERATORS:
        return name, "with care", f"{useful} columns, {n} patients with a slope: only strong moderators can be found"
    return name, "yes", f"{useful} columns, {n} patients with a slope of their own"


def _change(data: Loose) -> tuple[str, str, str]:
    name = "reliable change, sudden gains"
    scale = data.measures.get(data.columns.outcome)
    if scale is None:
        return (
            name,
            "no",
            f"no measure is named for {data.columns.outcome!r}: measures={{{data.columns.outcome!r}: ...}}",
        )
    if scale.reliable_change is None:
        return name, "with care", f"{scale.name}: no reliable change is on record; give one, or a reliability"
    return name, "yes", f"{scale.name}: reliable change {scale.reliable_change:g}"


def _therapists(data: Loose) -> list[tuple[str, str, str]]:
    name = "differences between therapists"
    named = pd.Series(data.therapist, dtype=object).dropna()
    counts = named.value_counts()
    several = int((counts > 1).sum())
    if len(counts) == 0:
        return [(name, "no", "no therapist is named for any patient")]
    without = data.n_patients - len(named)
    told = f"{len(counts)} therapists, {several} with two patients or more"
    told += f", {without} patients without one" if without else ""
    if several < 2:
        return [(name, "no", told)]
    return [(name, "with care" if several < FEW_THERAPISTS else "yes", told)]


def _history(data: Loose) -> tuple[str, str, str]:
    name = "therapist's record so far"
    if pd.Series(data.therapist, dtype=object).notna().sum() == 0:
        return name, "no", "no therapist is named for any patient"
    if not data.is_date:
        return (
            name,
            "with care",
            "sessions have no calendar dates: the record comes from other patients, not earlier ones",
        )
    return name, "yes", "sessions have calendar dates: the record comes from earlier sessions of other patients"
