"""Ways to separate trait-like from state-like alliance, by name, in whole-treatment and past-only forms.

Every way gives a trait and a state with ``trait + state = rating`` (three levels: therapist + patient + session =
rating − overall mean). Any session column can be split, not only the alliance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import windows
from features.errors import OptionError, check_option
from features.feature import Seen
from features.panel import Panel
from features.reml import Components, components, components_so_far
from features.therapists import therapist_level
from features.windows import Floats, Layout

EARLY_SESSIONS = 3

Parts = dict[str, Floats]


@dataclass(frozen=True)
class Split:
    """One way to separate trait from state.

    Attributes
    ----------
    name : str
    whole, past : function of (panel, rating) to {"trait": ..., "state": ...}, arrays of shape (n_sessions,)
        The whole-treatment and the past-only form; ``None`` where there is none.
    formula, source, misleads : str
        What it computes, who uses it, and when it misleads.
    """

    name: str
    whole: Callable[[Panel, Floats], Parts] | None
    past: Callable[[Panel, Floats], Parts] | None
    formula: str
    source: str
    misleads: str


def split(panel: Panel, name: str, *, seen: Seen = "past", column: str | None = None) -> pd.DataFrame:
    """Split a session column into trait and state in the way named.

    Parameters
    ----------
    panel : Panel
    name : str
        One of `SPLITS`.
    seen : {"past", "whole"}
    column : str, optional
        The alliance by default; any session column of the panel.

    Returns
    -------
    DataFrame of n_sessions rows
        Columns trait and state ("therapist", "patient", "session" for three levels), aligned with ``panel.sessions``.
        The state is missing where the rating is.

    Raises
    ------
    OptionError
        For an unknown way or column, or a way without the form asked for.
    """
    check_option("name", name, tuple(SPLITS))
    check_option("seen", seen, ("past", "whole"))
    compute = SPLITS[name].whole if seen == "whole" else SPLITS[name].past
    if compute is None:
        have = [other for other, way in SPLITS.items() if (way.whole if seen == "whole" else way.past) is not None]
        raise OptionError(f"split {name!r} has no {seen} form; those that have one: {', '.join(have)}.")
    return pd.DataFrame(compute(panel, rating(panel, column)), index=pd.RangeIndex(panel.n_sessions))


def rating(panel: Panel, column: str | None) -> Floats:
    """Values of the session column to split, the alliance by default; shape (n_sessions,)."""
    name = panel.columns.alliance if column is None else column
    if name is None:
        raise OptionError(
            "column: the panel has no alliance; name the session column to split, or Columns(alliance=...)."
        )
    scores = [panel.columns.outcome, panel.columns.alliance, *panel.columns.covariates]
    check_option("column", name, tuple(score for score in scores if score is not None))
    return panel.sessions[name].to_numpy(dtype=float)


def patient_means(panel: Panel, x: Floats) -> tuple[Floats, Floats]:
    """Mean and number of each patient's observed values, shape (n_patients,); NaN where there is none."""
    seen = ~np.isnan(x)
    n = np.bincount(panel.patient_index[seen], minlength=panel.n_patients).astype(float)
    total = _totals(panel.patient_index[seen], x[seen], panel.n_patients)
    return windows._ratio(total, n), n


# -- the ways -----------------------------------------------------------------------------------------------------


def _person_mean(panel: Panel, x: Floats) -> Parts:
    mean, _ = patient_means(panel, x)
    return _parts(mean[panel.patient_index], x)


def _so_far(panel: Panel, x: Floats) -> Parts:
    layout = Layout.of(panel.offsets)
    return _parts(layout.unpack(windows.moments(layout.pack(x), layout).mean), x)


def _before(panel: Panel, x: Floats) -> Parts:
    layout = Layout.of(panel.offsets)
    mean = windows.moments(layout.pack(x), layout).mean
    return _parts(layout.unpack(windows.lag(mean, layout)), x)


def _first_whole(panel: Panel, x: Floats) -> Parts:
    return _parts(_latest(panel, _first(panel, x)), x)


def _first_past(panel: Panel, x: Floats) -> Parts:
    return _parts(_first(panel, x), x)


def _early_whole(panel: Panel, x: Floats) -> Parts:
    return _parts(_latest(panel, _early(panel, x)), x)


def _early_past(panel: Panel, x: Floats) -> Parts:
    return _parts(_early(panel, x), x)


def _linear_whole(panel: Panel, x: Floats) -> Parts:
    return _own_line(panel, x, np.asarray(panel.time, dtype=float))


def _linear_past(panel: Panel, x: Floats) -> Parts:
    return _line_so_far(panel, x, np.asarray(panel.time, dtype=float))


def _log_whole(panel: Panel, x: Floats) -> Parts:
    return _own_line(panel, x, _log_time(panel))


def _log_past(panel: Panel, x: Floats) -> Parts:
    return _line_so_far(panel, x, _log_time(panel))


def _shrunken_whole(panel: Panel, x: Floats) -> Parts:
    mean, n = patient_means(panel, x)
    trait = _shrunken(mean, n, components(x, panel.patient_index, panel.n_patients))
    return _parts(trait[panel.patient_index], x)


def _shrunken_past(panel: Panel, x: Floats) -> Parts:
    layout = Layout.of(panel.offsets)
    so_far = windows.moments(layout.pack(x), layout)
    return _parts(layout.unpack(_shrunken(so_far.mean, so_far.n, components_so_far(so_far, layout))), x)


def _three_levels_whole(panel: Panel, x: Floats) -> Parts:
    mean, _ = patient_means(panel, x)
    known = ~np.isnan(mean)
    group = panel.clusters
    total = _totals(group[known], mean[known], int(group.max(initial=-1)) + 1)
    staff = windows._ratio(total, np.bincount(group[known], minlength=len(total)).astype(float))[group]
    overall = mean[known].mean() if known.any() else np.nan
    who = panel.patient_index
    return {"therapist": (staff - overall)[who], "patient": (mean - staff)[who], "session": x - mean[who]}


def _three_levels_past(panel: Panel, x: Floats) -> Parts:
    own = _so_far(panel, x)
    staff, overall = therapist_level(panel, x)
    return {"therapist": staff - overall, "patient": own["trait"] - staff, "session": own["state"]}


# -- what they share ----------------------------------------------------------------------------------------------


def _totals(group: NDArray[np.intp], x: Floats, size: int) -> Floats:
    return np.bincount(group, weights=x, minlength=size).astype(float)


def _parts(trait: Floats, x: Floats) -> Parts:
    return {"trait": trait, "state": x - trait}


def _first(panel: Panel, x: Floats) -> Floats:
    layout = Layout.of(panel.offsets)
    return layout.unpack(windows.first(layout.pack(x), layout))


def _early(panel: Panel, x: Floats) -> Floats:
    layout = Layout.of(panel.offsets)
    return layout.unpack(windows.early_mean(layout.pack(x), layout, sessions=EARLY_SESSIONS))


def _latest(panel: Panel, x: Floats) -> Floats:
    """Give all of a patient's rows the value of the last."""
    return x[panel.offsets[1:] - 1][panel.patient_index] if len(x) else x


def _log_time(panel: Panel) -> Floats:
    time = np.asarray(panel.time, dtype=float)
    return np.log1p(time - time[panel.offsets[:-1][panel.patient_index]]) if len(time) else time


def _own_line(panel: Panel, x: Floats, time: Floats) -> Parts:
    at = np.where(np.isnan(x), np.nan, time)
    mean, n = patient_means(panel, x)
    middle, _ = patient_means(panel, at)
    who = panel.patient_index
    apart = time - middle[who]
    seen = ~np.isnan(x)
    cross = _totals(who[seen], (apart * (x - mean[who]))[seen], panel.n_patients)
    squares = _totals(who[seen], (apart * apart)[seen], panel.n_patients)
    slope = np.where(n < 3, np.nan, windows._ratio(cross, squares))
    return _parts(mean[who] + slope[who] * apart, x)


def _line_so_far(panel: Panel, x: Floats, time: Floats) -> Parts:
    layout = Layout.of(panel.offsets)
    packed = layout.pack(x)
    residual = windows.line(packed, layout, layout.pack(time)).residual
    state = np.where(np.isnan(x), np.nan, layout.unpack(residual))
    return {"trait": x - state, "state": state}


def _shrunken(mean: Floats, n: Floats, of: Components) -> Floats:
    error = windows._ratio(np.broadcast_to(of.session, n.shape), n)
    weight = windows._ratio(np.broadcast_to(of.patient, n.shape), of.patient + error)
    shrunken: Floats = of.mean + weight * (mean - of.mean)
    return shrunken


SPLITS: dict[str, Split] = {
    way.name: way
    for way in (
        Split(
            "person_mean",
            _person_mean,
            None,
            "trait = mean of all the patient's ratings; state = rating − trait",
            "Curran & Bauer 2011, Annual Review of Psychology 62, 583-619",
            "The mean holds the sessions to come: never in a forecast (its past form is 'so_far'). In short treatments "
            "it is mostly noise of the states, and a trend of the alliance becomes state.",
        ),
        Split(
            "so_far",
            None,
            _so_far,
            "trait = mean of the ratings up to and including this session; state = rating − trait",
            "expanding form of 'person_mean'",
            "The state of the first session is 0, and early states are pulled to 0: the rating is in its own mean.",
        ),
        Split(
            "before",
            None,
            _before,
            "trait = mean of the ratings before this session; state = rating − trait",
            "expanding form of 'person_mean' without the session itself",
            "Undefined at the first session; the first traits are single ratings with all their error.",
        ),
        Split(
            "first",
            _first_whole,
            _first_past,
            "trait = first observed rating; state = rating − first rating",
            "change from the first level, as in change scores",
            "One rating carries all its error into every state (regression to the mean: a high first rating makes low "
            "states), and the first alliance already holds the first session's work.",
        ),
        Split(
            "early",
            _early_whole,
            _early_past,
            f"trait = mean of the ratings of the first {EARLY_SESSIONS} sessions; state = rating − trait",
            "early-alliance studies, e.g. those in Flückiger et al. 2018, Psychotherapy 55, 316-340",
            "States within the early sessions share error with the trait; the past form still moves during them.",
        ),
        Split(
            "detrended",
            _linear_whole,
            _linear_past,
            "trait = the patient's own least-squares line over time; state = rating − line (three ratings at least)",
            "Curran & Bauer 2011; Falkenström, Finkel, Sandell, Rubel & Holmqvist 2017, J Consult Clin Psychol 85",
            "Takes the trend out of the state, also where the trend is the effect; raises the bias where symptoms feed "
            "back into the alliance, and with few sessions the line takes most of the state with it.",
        ),
        Split(
            "detrended_log",
            _log_whole,
            _log_past,
            "trait = the patient's own line over log(1 + time since the first session); state = rating − line",
            "log-session growth, usual for outcome in psychotherapy",
            "As 'detrended'; the line bends most in the first sessions, where few ratings fix it.",
        ),
        Split(
            "shrunken",
            _shrunken_whole,
            _shrunken_past,
            "trait = μ + σ²_p / (σ²_p + σ²_e / n) · (mean − μ), variances by REML; state = rating − trait",
            "empirical-Bayes (latent) mean; Lüdtke et al. 2008, Psychological Methods 13, 203-229",
            "Trusts the model: a patient's trait depends on the other patients, and states no longer add up to 0. The "
            "past form takes the variances from all patients' sessions up to the same number; undefined at the first.",
        ),
        Split(
            "three_levels",
            _three_levels_whole,
            _three_levels_past,
            "therapist = mean over the therapist's patients − overall mean; patient = mean − therapist's; "
            "session = rating − patient's mean",
            "Del Re et al. 2012, Clinical Psychology Review 32, 642-649",
            "With few patients a therapist's mean is mostly their patients'. Patients without therapist are "
            "therapists of their own. The past form takes the therapist from other patients, shrunken.",
        ),
    )
}
