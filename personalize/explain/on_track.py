"""Not-on-track signal: worse than nearly all patients who started alike, and how often that signal is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from features.errors import OptionError
from features.panel import Panel
from personalize.trajectories.distribution import quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import held_out, horizon_name

Floats = NDArray[np.float64]

HALF_SD = 0.5
ACCURACY = ("session", "statistic", "estimate", "lower", "upper", "n")


@dataclass(frozen=True)
class OnTrack:
    """Signal and its accuracy.

    Attributes
    ----------
    signals : DataFrame
        One row a patient and landmark: patient, session (k-th observed), expected, bound, outcome, off_track (bool).
    accuracy : DataFrame
        One row a landmark and statistic (sensitivity, specificity, share_flagged, not_improved): session, statistic,
        estimate, lower, upper (Wilson, 95 %), n (patients behind it).
    probability : float
        Share of patients with the same start who do better than the bound.
    points : float
        Points of improvement, first to last score, that count as reached.
    criterion : str
        In words.
    """

    signals: pd.DataFrame
    accuracy: pd.DataFrame
    probability: float
    points: float
    criterion: str

    @classmethod
    def of_signals(cls, signals: pd.DataFrame) -> OnTrack:
        """Take signals that were saved, without their accuracy."""
        return cls(signals, pd.DataFrame(columns=list(ACCURACY)), np.nan, np.nan, "")


def on_track(
    forecaster: TrajectoryForecaster,
    panel: Panel,
    *,
    landmarks: Sequence[int] = (3, 5, 8),
    probability: float = 0.90,
    points: float | None = None,
) -> OnTrack:
    """Flag patients beyond the expected-response band, and cross-validate the flag.

    The band at the k-th session is the quantile of the expected response, given the first session's score, that is
    learned without the patient's fold (by therapist where there are at least ten). A patient is off track where the
    outcome is worse than it. The flag is held against not reaching an improvement of ``points`` from the first to the
    last score, among patients with a session after the landmark.

    The band is that of the expected response of `personalize.trajectories.baselines` (after Lueger et al. 2001).

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Its folds are used.
    panel : Panel
    landmarks : sequence of int
        Observed sessions, from 2; those that fewer than ten patients pass are left out.
    probability : float
        Share of patients with the same start who do better than the bound; one of 0.05, 0.10, ..., 0.95.
    points : float, optional
        The measure's reliable change by default; half an SD of the first scores where none is known.

    Raises
    ------
    OptionError
        When a landmark is below 2 or passed by too few patients.
    """
    bad = [k for k in landmarks if k < 2]
    if bad or not len(landmarks):
        raise OptionError(f"landmarks={tuple(landmarks)!r} is not allowed; give observed sessions from 2.")
    longest = panel.sessions_per_patient
    kept = [int(k) for k in landmarks if int((longest > k).sum()) >= 10]
    if not kept:
        raise OptionError(
            f"landmarks={tuple(landmarks)!r}: fewer than ten patients have a session after the first one."
        )
    first, last = _ends(panel)
    goal, criterion = _goal(panel, first, points)
    held = held_out(_expected(forecaster), panel, landmarks=(1,), horizons=[k - 1 for k in kept], baselines={}).rows
    worse_high = panel.better == "low"
    name = quantile_name(probability if worse_high else 1 - probability)
    improved = (first - last if worse_high else last - first) >= goal
    signals, accuracy = [], []
    for k in kept:
        rows = held[held["horizon"] == horizon_name(k - 1)]
        outcome, bound = rows["outcome"].to_numpy(dtype=float), rows[name].to_numpy(dtype=float)
        off = outcome > bound if worse_high else outcome < bound
        who = panel.patient_ids.get_indexer(pd.Index(rows["patient"]))
        signals.append(
            pd.DataFrame(
                {
                    "patient": rows["patient"].to_numpy(),
                    "session": k,
                    "expected": rows["mean"].to_numpy(dtype=float),
                    "bound": bound,
                    "outcome": outcome,
                    "off_track": off,
                }
            )
        )
        later = (longest[who] > k) & np.isfinite(first[who]) & np.isfinite(last[who])
        accuracy += _accuracy(k, off[later], ~improved[who][later])
    table = pd.DataFrame(accuracy, columns=list(ACCURACY))
    return OnTrack(pd.concat(signals, ignore_index=True), table, probability, goal, criterion)


def _expected(forecaster: TrajectoryForecaster) -> TrajectoryForecaster:
    """The expected response alone, on the folds of the forecaster."""
    alone: TrajectoryForecaster = clone(forecaster).set_params(members=("expected",))
    cross = getattr(forecaster, "crossfit_", None)
    if cross is not None:
        alone.crossfit_ = cross
    return alone


def _ends(panel: Panel) -> tuple[Floats, Floats]:
    """First and last observed outcome of each patient; NaN without one."""
    rows = np.flatnonzero(np.isfinite(panel.outcome))
    first, last = np.full(panel.n_patients, np.nan), np.full(panel.n_patients, np.nan)
    last[panel.patient_index[rows]] = panel.outcome[rows]
    first[panel.patient_index[rows[::-1]]] = panel.outcome[rows[::-1]]
    return first, last


def _goal(panel: Panel, first: Floats, points: float | None) -> tuple[float, str]:
    measure = panel.outcome_measure
    if points is not None:
        return float(points), f"an improvement of {points:g} points from the first to the last score"
    if measure is not None and measure.reliable_change is not None:
        goal = float(measure.reliable_change)
        return (
            goal,
            f"reliable improvement ({goal:g} points on {measure.title or measure.name}) from first to last score",
        )
    goal = HALF_SD * float(np.nanstd(first, ddof=1))
    return goal, (
        f"an improvement of {goal:.3g} points (half an SD of the first scores, because no reliable change of "
        f"{panel.columns.outcome} is known) from the first to the last score"
    )


def _accuracy(
    k: int, off: NDArray[np.bool_], failed: NDArray[np.bool_]
) -> list[tuple[int, str, float, float, float, int]]:
    shares = {
        "sensitivity": off[failed],
        "specificity": ~off[~failed],
        "share_flagged": off,
        "not_improved": failed,
        "not_improved_if_flagged": failed[off],
    }
    return [(k, name, *wilson(int(hit.sum()), len(hit)), len(hit)) for name, hit in shares.items()]


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float, float]:
    """Share with Wilson's interval (Wilson 1927, J Am Stat Assoc 22, 209-212); NaN without a case.

    Examples
    --------
    >>> [round(x, 3) for x in wilson(8, 10)]
    [0.8, 0.49, 0.943]
    """
    if n == 0:
        return np.nan, np.nan, np.nan
    p = hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return p, float(middle - half), float(middle + half)
