"""The average effect under every reasonable choice: a specification table, not a search."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from features.panel import Panel
from personalize.effects.adjusted import BETA, Errors, clean_outcome
from personalize.effects.average import FEWEST_STEPS, Pass, run_pass
from personalize.effects.transitions import Floats, Grid, Transitions, lay_grid, outcome_steps
from personalize.effects.within import Moments, moments, projection

CENTRINGS = ("person mean", "first session", "mean so far")
POOLED = {  # by whether the lagged outcome is in the equation
    True: "pooled over patients: stable differences in the outcome pass for persistence and take most of the effect; "
    "no rival of the average",
    False: "pooled over patients: stable differences in the outcome are left to intake and the reference",
}
CORRECTIONS = ("none", "half-panel jackknife", "adjusted score")


@dataclass(frozen=True)
class Estimate:
    """An average effect, each cluster's influence on it, and the transitions it rests on."""

    value: float
    influence: Floats
    n_patients: int
    n_transitions: int

    @property
    def se(self) -> float:
        """Cluster-robust standard error."""
        return float(np.sqrt(self.influence @ self.influence))


def grid(panel: Panel, x: Floats, clusters: NDArray[np.intp], errors: Errors, level: float) -> pd.DataFrame:
    """Estimate the average under centring × detrending × lag × correction × lagged outcome.

    "person mean" is the within transform; "first session" and "mean so far" take the state as the deviation from that
    reference and keep the reference, time and baseline as covariates in a pooled regression (no short-panel bias of the
    Nickell kind, but open to stable confounders). Combinations that make no sense are left out.
    """
    laid = lay_grid(panel)
    rows = []
    for detrend, lag, lagged in product((False, True), (1, 2), (True, False)):
        labels: dict[str, object] = {"centring": "person mean", "detrend": "linear" if detrend else "none", "lag": lag}
        for correction, found, note in _within(
            laid, panel.timing, x, clusters, errors, detrend=detrend, lag=lag, lagged=lagged
        ):
            rows.append(_row(labels, correction, lagged, found, note, level))
    for centring, lagged in product(CENTRINGS[1:], (True, False)):
        labels = {"centring": centring, "detrend": "none", "lag": 1}
        found = _pooled(laid, panel.timing, x, clusters, centring, lagged=lagged)
        rows.append(_row(labels, "none", lagged, found, POOLED[lagged], level))
    table = pd.DataFrame(rows)
    table["default"] = (
        (table["centring"] == "person mean")
        & (table["lag"] == 1)
        & (table["correction"] == "adjusted score")
        & table["lagged_outcome"]
    )
    return table


def _row(
    labels: dict[str, object], correction: str, lagged: bool, found: Estimate | None, note: str, level: float
) -> dict[str, object]:
    q = norm.ppf(0.5 + level / 2)
    value, se = (found.value, found.se) if found else (np.nan, np.nan)
    return {
        **labels,
        "correction": correction,
        "lagged_outcome": lagged,
        "estimate": value,
        "lower": value - q * se,
        "upper": value + q * se,
        "se": se,
        "n_patients": found.n_patients if found else 0,
        "n_transitions": found.n_transitions if found else 0,
        "note": note,
    }


def _within(
    laid: Grid,
    timing: str,
    x: Floats,
    clusters: NDArray[np.intp],
    errors: Errors,
    *,
    detrend: bool,
    lag: int,
    lagged: bool,
) -> list[tuple[str, Estimate | None, str]]:
    fewest = FEWEST_STEPS + detrend
    steps = outcome_steps(laid, timing, lag=lag).at_least(fewest)
    if len(np.unique(steps.patient)) < 10:
        return [("none", None, "fewer than 10 patients have enough consecutive sessions")]
    full = _naive(steps, x, clusters, errors, detrend=detrend, lagged=lagged)
    out: list[tuple[str, Estimate | None, str]] = [("none", full, "")]
    out.append(half_panel(steps, x, clusters, errors, detrend=detrend, lagged=lagged))
    if lag == 1:
        one = run_pass(laid, timing, x, clusters, errors, detrend=detrend, lagged_outcome=lagged)
        note = "" if one.dynamics.converged else "no admissible solution; one-step correction"
        out.append(("adjusted score", _adjusted(one), note))
    return out


def _adjusted(one: Pass) -> Estimate:
    m = one.moments
    return Estimate(float(one.pair[1]), one.influence[:, 1], len(m.within.who), len(m.within.group))


def _naive(
    steps: Transitions, x: Floats, clusters: NDArray[np.intp], errors: Errors, *, detrend: bool, lagged: bool
) -> Estimate:
    m = moments(steps, x, projection(steps, detrend=detrend))
    return _solve_naive(m, clusters, errors, lagged=lagged)


def _solve_naive(m: Moments, clusters: NDArray[np.intp], errors: Errors, *, lagged: bool) -> Estimate:
    """Uncorrected within regression; influence by leaving each cluster out, to first order."""
    y = clean_outcome(m.cross, m, errors)
    free = [0, 1] if lagged else [BETA]
    left = y[:, free][:, :, free]
    right = y[:, free, 2]
    theta = np.linalg.lstsq(left.sum(axis=0), right.sum(axis=0), rcond=None)[0]
    score = right - left @ theta
    per, hat = np.zeros((int(clusters.max()) + 1, len(free))), np.zeros((int(clusters.max()) + 1, len(free), len(free)))
    np.add.at(per, clusters[m.within.who], score)
    np.add.at(hat, clusters[m.within.who], left)
    influence = (np.linalg.pinv(left.sum(axis=0) - hat) @ per[:, :, None])[:, :, 0]
    return Estimate(float(theta[-1]), influence[:, -1], len(m.within.who), len(m.within.group))


def half_panel(
    steps: Transitions, x: Floats, clusters: NDArray[np.intp], errors: Errors, *, detrend: bool, lagged: bool
) -> tuple[str, Estimate | None, str]:
    """2·full − mean(halves) (Dhaene & Jochmans 2015, Rev. Econ. Stud. 82, 991); halves by order within patient."""
    name = CORRECTIONS[1]
    counts = steps.counts[steps.patient]
    starts = np.flatnonzero(np.diff(steps.patient, prepend=-1))
    order = np.arange(len(steps.patient)) - np.repeat(starts, np.diff(np.append(starts, len(steps.patient))))
    fewest = FEWEST_STEPS + detrend
    enough = counts >= 2 * fewest
    if len(np.unique(steps.patient[enough])) < 10:
        return name, None, f"too few patients with {2 * fewest} transitions: a half needs {fewest}"
    late = order >= (counts + 1) // 2
    whole = _naive(steps.keep(enough), x, clusters, errors, detrend=detrend, lagged=lagged)
    halves = [
        _naive(steps.keep(enough & part), x, clusters, errors, detrend=detrend, lagged=lagged) for part in (late, ~late)
    ]
    value = 2 * whole.value - (halves[0].value + halves[1].value) / 2
    influence = 2 * whole.influence - (halves[0].influence + halves[1].influence) / 2
    return name, Estimate(value, influence, whole.n_patients, whole.n_transitions), ""


def _pooled(laid: Grid, timing: str, x: Floats, clusters: NDArray[np.intp], centring: str, *, lagged: bool) -> Estimate:
    """Pooled regression on the deviation from a reference that is known at the session."""
    alliance = laid.alliance if timing == "after" else laid.alliance[:, 1:]
    seen = np.isfinite(alliance)
    if centring == "first session":
        first = np.argmax(seen, axis=1)
        reference = np.take_along_axis(alliance, first[:, None], axis=1) + np.zeros_like(alliance)
        reference[~np.maximum.accumulate(seen, axis=1)] = np.nan
    else:
        count = np.cumsum(seen, axis=1)
        reference = np.cumsum(np.where(seen, alliance, 0.0), axis=1) / np.where(count > 0, count, np.nan)
    columns = laid.outcome.shape[1] - 1
    state, reference = (alliance - reference)[:, :columns], reference[:, :columns]
    y_next, y_now = laid.outcome[:, 1:], laid.outcome[:, :-1]
    use = np.isfinite(state) & np.isfinite(y_next) & np.isfinite(y_now)
    who, at = np.nonzero(use)
    session = laid.first[who] + laid.gap * at
    parts = [state[use], np.ones(len(who)), np.log1p(session), session, reference[use]]
    if lagged:
        parts.append(y_now[use])
    design = np.column_stack([*parts, x[who]])
    theta, *_ = np.linalg.lstsq(design, y_next[use], rcond=None)
    residual = y_next[use] - design @ theta
    bread = np.linalg.pinv(design.T @ design)
    per = np.zeros((int(clusters.max()) + 1, design.shape[1]))
    np.add.at(per, clusters[who], design * residual[:, None])
    return Estimate(float(theta[0]), (per @ bread)[:, 0], len(np.unique(who)), len(who))
