"""What can and cannot be analysed with this data, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalize.check.counts import intraclass, transitions
from personalize.check.loose import Loose

# What the analyses themselves ask for (a test holds these equal to their own constants; importing them would load
# every model for a check), and below which numbers they say little.
FEW_FORECAST = 10  # patients with an outcome after their first session
FEW_STEPS = 2  # transitions a patient needs to say anything about change
FEW_WITH_STEPS = 10  # patients with that many
FEW_TO_CORRECT = 4  # median transitions for the correction of short-series bias
FEW_FOR_MODERATORS = 40  # patients with a slope
FEW_THERAPISTS = 10  # below, folds cannot be cut by therapist
THIN_PATIENTS = 100
THIN_STEPS = 8  # median transitions below which a patient's estimate leans on the average
THIN_MODERATORS = 500  # patients below which only strong moderators are found


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
    if followed < FEW_FORECAST:
        return name, "no", f"{followed} patients have an outcome after their first session; {FEW_FORECAST} are needed"
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
    able = steps[steps >= FEW_STEPS]
    told = (
        f"{int(steps.sum())} usable steps from one session to the next, {len(able)} patients with {FEW_STEPS} or more"
    )
    if len(able) < FEW_WITH_STEPS:
        return [
            (average, "no", f"{told}; {FEW_WITH_STEPS} are needed"),
            (own, "no", f"{told}; {FEW_WITH_STEPS} are needed"),
        ]
    known = np.isfinite(data.scores[column])
    a, who = data.scores[column][known], data.who[known]
    if len(np.unique(a)) < 2:
        why = f"{column!r} is the same in every session"
        return [(average, "no", why), (own, "no", why)]
    typical = int(np.median(able))
    if typical < FEW_TO_CORRECT:
        first = "with care", f"{told}, {typical} typically: too short to correct the bias of short series"
    elif len(able) < THIN_PATIENTS:
        first = "with care", f"{told}: the interval will be wide"
    else:
        first = "yes", told
    share = intraclass(a, who, data.n_patients)
    within = "" if np.isnan(share) else f"; {1 - share:.0%} of the variance of {column!r} is within patients"
    lean = "" if typical >= THIN_STEPS else ": estimates lean on the average"
    second = "with care" if lean else "yes", f"{typical} steps a patient typically{lean}{within}"
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
    n = int((transitions(data) >= FEW_STEPS).sum())
    if n < FEW_FOR_MODERATORS:
        return name, "no", f"{n} patients have a slope of their own, {FEW_FOR_MODERATORS} are needed"
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
