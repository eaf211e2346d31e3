"""Expected-response curve, and the signal that a patient is not on track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.base import BaseEstimator

from features.errors import NotEnoughData, NotFitted, OptionError
from features.panel import Panel
from personalize.trajectories.clock import Clock
from personalize.trajectories.crossfit import FEWEST_PATIENTS, FEWEST_THERAPISTS
from personalize.trajectories.landmarks import Targets, all_landmarks, last_observed
from personalize.trajectories.members.expected import Expected, fit_expected
from personalize.trajectories.quantiles import patient_quantiles
from personalize.trajectories.query import Folds

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class ExpectedResponse(BaseEstimator):  # type: ignore[misc]
    """Course that patients of the same first score show on average, with the band that holds most of their scores.

    The curve is a mixed model of the outcome on (log) time by first score. A patient whose score lies beyond the band
    on the unfavourable side is not on track. Sources: Lueger et al. 2001, J. Consult. Clin. Psychol. 69, 150-158;
    Finch, Lambert & Schaalje 2001, Clin. Psychol. Psychother. 8, 231-242; Lambert et al. 2018, Psychotherapy 55,
    520-537.

    Parameters
    ----------
    tolerance : float
        Share of patients' scores inside the band, each patient counting once.
    random_state : int

    Attributes
    ----------
    curve_ : fitted curve
    half_width_ : float
        Half of the band, in the model's SDs.
    """

    def __init__(self, *, tolerance: float = 0.80, random_state: int = 0) -> None:
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, panel: Panel) -> ExpectedResponse:
        """Fit the curve to the sessions after each patient's first score.

        Raises
        ------
        NotEnoughData
            When fewer than ten patients have a score after their first.
        """
        if not 0 < self.tolerance < 1:
            raise OptionError(f"tolerance={self.tolerance!r} is not allowed; give a share between 0 and 1.")
        rows = _later_rows(panel)
        n = len(np.unique(panel.patient_index[rows]))
        if n < FEWEST_PATIENTS:
            raise NotEnoughData(
                f"An expected-response curve needs patients with a score after their first; {n} of {panel.n_patients} "
                f"have one, {FEWEST_PATIENTS} are needed."
            )
        self.clock_ = Clock.of(panel)
        self.curve_: Expected = fit_expected(panel, self.clock_, np.random.default_rng(self.random_state))
        self.better_ = panel.better
        mean, sd = self._at(panel, rows)
        size = np.abs(panel.outcome[rows] - mean) / sd
        order = np.argsort(size)
        who = panel.patient_index[rows][order]
        self.half_width_ = float(patient_quantiles(size[order], who, np.ones(len(rows)), np.array([self.tolerance]))[0])
        return self

    def curve(self, severity: Sequence[float], time: Sequence[float]) -> pd.DataFrame:
        """Expected course by first score.

        Parameters
        ----------
        severity : sequence of float
            First scores.
        time : sequence of float
            In the panel's unit (session numbers where it has no time column).

        Returns
        -------
        DataFrame
            Long: severity, time, expected, lower, upper.
        """
        self._fitted()
        first, when = (grid.ravel() for grid in np.meshgrid(severity, time, indexing="ij"))
        nothing = np.full(len(first), np.nan)
        targets = Targets(np.arange(len(first)), np.ones(len(first)), when.astype(float), nothing, _nowhere(len(first)))
        mean, sd = self.curve_.of_first(first.astype(float), targets)
        half = self.half_width_ * sd
        return pd.DataFrame(
            {"severity": first, "time": when, "expected": mean, "lower": mean - half, "upper": mean + half}
        )

    def signal(self, panel: Panel) -> pd.DataFrame:
        """Compare every later score with the band of the patient's own first score.

        Returns
        -------
        DataFrame
            One row a session with an outcome after the first: patient, session, the outcome, expected, lower, upper,
            signal ("on track", "not on track" beyond the band on the unfavourable side, "better than expected" beyond
            it on the other).
        """
        self._fitted()
        rows = _later_rows(panel)
        mean, sd = self._at(panel, rows)
        score, half = panel.outcome[rows], self.half_width_ * sd
        worse = score - mean if self.better_ == "low" else mean - score
        signal = np.select([worse > half, worse < -half], ["not on track", "better than expected"], "on track")
        columns = panel.columns
        return pd.DataFrame(
            {
                columns.patient: panel.patient_ids[panel.patient_index[rows]],
                columns.session: panel.session[rows],
                columns.outcome: score,
                "expected": mean,
                "lower": mean - half,
                "upper": mean + half,
                "signal": signal,
            }
        )

    def accuracy(
        self,
        panel: Panel,
        *,
        landmarks: Sequence[int] = (3, 5, 8),
        reliable_change: float | None = None,
        n_folds: int = 5,
    ) -> pd.DataFrame:
        """Cross-validate whether the signal finds those who will not improve reliably.

        Parameters
        ----------
        panel : Panel
        landmarks : sequence of int
            Number of observed sessions after which the signal is read (at the latest score so far).
        reliable_change : float, optional
            Points from the first to the last score that count as improvement; that of the outcome's measure by default.
        n_folds : int
            Folds of therapists, where there are at least ten, else of patients.

        Returns
        -------
        DataFrame
            Long: landmark, metric (sensitivity, specificity, positive_value, negative_value, signalled,
            not_improved), estimate, lower, upper (Wilson, 95 %), n.

        Raises
        ------
        OptionError
            When neither the measure nor the call says what reliable change is.
        """
        change = reliable_change
        if change is None and panel.outcome_measure is not None:
            change = panel.outcome_measure.reliable_change
        if change is None:
            raise OptionError(
                f"reliable_change: no measure of {panel.columns.outcome!r} says how large a change is reliable; give "
                "it in points."
            )
        rng = np.random.default_rng(self.random_state)
        therapists = panel.n_therapists >= FEWEST_THERAPISTS
        folds = Folds.by_cluster(panel.clusters if therapists else np.arange(panel.n_patients), n_folds, rng)
        parts = []
        for f in range(folds.count):
            fitted = ExpectedResponse(**self.get_params()).fit(panel.subset(np.flatnonzero(folds.of_patient != f)))
            parts.append(_read_off(fitted, panel.subset(np.flatnonzero(folds.of_patient == f)), landmarks, change))
        found = pd.concat(parts, ignore_index=True)
        out = []
        for landmark, own in found.groupby("landmark"):
            alarm, failed = own["alarm"].to_numpy(dtype=bool), own["failed"].to_numpy(dtype=bool)
            for metric, of, hit in (
                ("sensitivity", failed, alarm),
                ("specificity", ~failed, ~alarm),
                ("positive_value", alarm, failed),
                ("negative_value", ~alarm, ~failed),
                ("signalled", np.ones(len(own), bool), alarm),
                ("not_improved", np.ones(len(own), bool), failed),
            ):
                out.append((landmark, metric, *_wilson(int((of & hit).sum()), int(of.sum()))))
        return pd.DataFrame(out, columns=["landmark", "metric", "estimate", "lower", "upper", "n"])

    def _at(self, panel: Panel, rows: Indices) -> tuple[Floats, Floats]:
        """Expected outcome and SD at session rows."""
        # landmarks stand patient by patient, each intake before its sessions: a session's place is its row plus intakes
        landmark = rows + panel.patient_index[rows] + 1
        targets = Targets(landmark, np.ones(len(rows)), panel.time[rows], panel.outcome[rows], rows)
        landmarks = all_landmarks(panel, self.clock_)
        mean, sd = self.curve_.curve(landmarks, targets)
        return mean, sd

    def _fitted(self) -> None:
        if not hasattr(self, "curve_"):
            raise NotFitted("ExpectedResponse: call fit before this.")


def _later_rows(panel: Panel) -> Indices:
    """Session rows with an outcome after the patient's first score."""
    known = np.flatnonzero(np.isfinite(panel.outcome))
    patient = panel.patient_index[known]
    return known[np.append(False, patient[1:] == patient[:-1])] if len(known) else known


def _read_off(fitted: ExpectedResponse, panel: Panel, landmarks: Sequence[int], change: float) -> pd.DataFrame:
    """Signal at each landmark, and whether the last score later on was no reliable improvement."""
    signal = fitted.signal(panel)
    rows = _later_rows(panel)
    final = last_observed(panel)
    known = np.flatnonzero(np.isfinite(panel.outcome))
    first = np.full(panel.n_patients, -1, dtype=np.intp)
    first[panel.patient_index[known[::-1]]] = known[::-1]
    out = []
    for k in landmarks:
        use = panel.occasion[rows] < k
        latest = np.full(panel.n_patients, -1, dtype=np.intp)
        latest[panel.patient_index[rows[use]]] = np.flatnonzero(use)
        who = np.flatnonzero((latest >= 0) & (panel.occasion[final] >= k) & (final >= 0))
        gain = panel.outcome[first[who]] - panel.outcome[final[who]]
        gain = gain if fitted.better_ == "low" else -gain
        alarm = signal["signal"].to_numpy()[latest[who]] == "not on track"
        out.append(pd.DataFrame({"landmark": int(k), "alarm": alarm, "failed": gain < change}))
    return pd.concat(out, ignore_index=True)


def _wilson(hits: int, n: int) -> tuple[float, float, float, int]:
    if n == 0:
        return np.nan, np.nan, np.nan, 0
    z, p = float(ndtri(0.975)), hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * float(np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
    return p, middle - half, middle + half, n


def _nowhere(n: int) -> Any:
    return np.full(n, -1, dtype=np.intp)
