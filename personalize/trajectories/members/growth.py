"""Growth member: what a mixed model with autocorrelated residuals expects from every landmark.

The course of `kalman` around a mean that depends on time and, through effects drawn to zero as the data ask for
(empirical Bayes), on intake: y = basis(t)'a + x'b + g(t)·x'c + course. The forecast is split into four addends,
exactly, because it is linear: what time says of the average patient, what the patient's and the therapist's
characteristics add, what the outcomes so far add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.panel import Panel
from features.windows import Layout
from personalize.trajectories.clock import Clock
from personalize.trajectories.landmarks import Landmarks, Targets
from personalize.trajectories.members.kalman import Filtered, Variances, ahead, course_filter
from personalize.trajectories.members.standard import standardised

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

LAST_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
FEWEST_ON = 10  # patients who went on, behind the quantiles of what was left


@dataclass(frozen=True)
class Intake:
    """Effects of intake columns.

    Parameters
    ----------
    level, trend : arrays of shape (n_intake,)
        Of each standardised column on level and trend.
    center, scale : arrays of shape (n_intake,)
    of_therapist : bool array of shape (n_intake,)
        Which columns describe the therapist.
    therapists : tuple
        Therapists of training.
    effects : array of shape (n_therapists,)
        What is left of their patients' level; an unknown therapist's is zero.
    """

    level: Floats
    trend: Floats
    center: Floats
    scale: Floats
    of_therapist: NDArray[np.bool_]
    therapists: tuple[object, ...]
    effects: Floats

    def parts(self, values: Floats) -> Floats:
        """What characteristics add, shape (2, 2, n_rows): of patient or therapist, to level or trend, row."""
        design = standardised(values, self.center, self.scale)[:, 1:]
        return np.stack(
            [
                np.stack([design[:, mine] @ self.level[mine], design[:, mine] @ self.trend[mine]])
                for mine in (~self.of_therapist, self.of_therapist)
            ]
        )

    def known(self, panel: Panel) -> Floats:
        """Effect of each patient's therapist, shape (n_patients,)."""
        place = {name: i for i, name in enumerate(self.therapists)}
        of = np.array([place.get(name, -1) for name in panel.therapist_ids.tolist()] + [-1], dtype=np.intp)
        return np.append(self.effects, 0.0)[of[panel.therapist_index]]


@dataclass(frozen=True)
class Growth:
    """Fitted growth member.

    Parameters
    ----------
    variances : Variances
    fixed : array of shape (n_basis,)
        Effects of the time basis.
    intake : Intake
    linear : bool
        Whether g(t) is linear in time; else log(1 + t).
    origin, interval, furthest : float
        Time of a first session, length of a typical interval, longest course seen (in intervals).
    remaining : array of shape (n_landmarks, 5)
        Quantiles of the number of intervals to the last session, by sessions seen.
    """

    variances: Variances
    fixed: Floats
    intake: Intake
    linear: bool
    origin: float
    interval: float
    furthest: float
    remaining: Floats

    def forecast(self, landmarks: Landmarks, targets: Targets, intake: Floats) -> Floats:
        """Forecast targets.

        Parameters
        ----------
        intake : array of shape (n_patients, n_intake)

        Returns
        -------
        array of shape (5, n_targets)
            Addends of time, patient, therapist and outcomes so far, and the SD of a new outcome.
        """
        parts = self.intake.parts(intake)
        parts[1, 0] += self.intake.known(landmarks.panel)
        filtered, place = self._filter(landmarks.panel, parts)
        row = landmarks.row[targets.landmark]
        at = row >= 0
        mean = np.zeros((3, 3, len(targets)))
        covariance = np.repeat(np.asarray(self.variances.prior())[:, None], len(targets), axis=1)
        mean[:, :, at] = filtered.mean[:, :, place[row[at]]]
        covariance[:, at] = filtered.covariance[:, place[row[at]]]
        own = parts[:, :, landmarks.patient[targets.landmark]]
        return self._ahead(mean, covariance, own, targets, landmarks)

    def unconditional(self, intake: Floats, targets: Targets, landmarks: Landmarks | None) -> Floats:
        """Expected outcome and SD without a look at the outcomes so far, shape (2, n_targets).

        Parameters
        ----------
        intake : array of shape (n_landmarks, n_intake)
            Here each landmark has an intake of its own.
        landmarks : Landmarks or None
            Needed only for a target that is the last session.
        """
        own = self.intake.parts(intake)[:, :, targets.landmark]
        covariance = np.repeat(np.asarray(self.variances.prior())[:, None], len(targets), axis=1)
        parts = self._ahead(np.zeros((3, 3, len(targets))), covariance, own, targets, landmarks)
        return np.stack([parts[:4].sum(axis=0), parts[4]])

    def _ahead(
        self, mean: Floats, covariance: Floats, own: Floats, targets: Targets, landmarks: Landmarks | None
    ) -> Floats:
        """Addends and SD from states at the landmarks; a last session is averaged over when it may be."""
        out = np.empty((5, len(targets)))
        at, last = np.flatnonzero(~targets.last), np.flatnonzero(targets.last)
        out[:, at] = self._at(mean[..., at], covariance[:, at], own[..., at], targets.time[at], targets.gap[at])
        if len(last) and landmarks is not None:
            landmark = targets.landmark[last]
            now, seen = landmarks.time[landmark], landmarks.seen[landmark]
            gaps = self.remaining[np.minimum(seen, len(self.remaining) - 1)]
            each = [
                self._at(mean[..., last], covariance[:, last], own[..., last], now + gap * self.interval, gap)
                for gap in gaps.T
            ]
            out[:4, last] = np.mean([e[:4] for e in each], axis=0)
            total = np.array([e[:4].sum(axis=0) for e in each])
            out[4, last] = np.sqrt(np.mean([e[4] ** 2 for e in each], axis=0) + total.var(axis=0))
        return out

    def elapsed(self, time: Floats) -> Floats:
        """Intervals since a first session, not beyond what was seen."""
        return np.clip((time - self.origin) / self.interval, 0.0, self.furthest)

    def _filter(self, panel: Panel, parts: Floats) -> tuple[Filtered, Indices]:
        """States after each session for what patient, therapist and outcomes add, and each row's place among them."""
        layout = Layout.of(panel.offsets)
        elapsed = self.elapsed(panel.time)
        g = trend_of(elapsed, self.linear)
        rest = panel.outcome - time_basis(elapsed) @ self.fixed
        own = parts[:, 0, panel.patient_index] + g * parts[:, 1, panel.patient_index]
        columns = np.vstack([own, rest])
        order = layout.order
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        clock = (panel.time - self.origin) / self.interval
        seen = np.isfinite(panel.outcome)[order]
        return course_filter(columns[:, order], g[order], clock[order], seen, layout, self.variances), place

    def _at(self, mean: Floats, covariance: Floats, own: Floats, time: Floats, gap: Floats) -> Floats:
        elapsed = self.elapsed(time)
        g = trend_of(elapsed, self.linear)
        shift, variance = ahead(mean, covariance, g, gap, self.variances)
        intake = own[:, 0] + g * own[:, 1]
        return np.vstack([time_basis(elapsed) @ self.fixed, intake - shift[:2], shift[2], np.sqrt(variance)])


def time_basis(elapsed: Floats) -> Floats:
    """Functions of time that the average course is made of, shape (n_rows, 4)."""
    return np.column_stack([np.ones(len(elapsed)), np.log1p(elapsed), elapsed / 10.0, np.exp(-elapsed)])


def trend_of(elapsed: Floats, linear: bool) -> Floats:
    """g(t), along which patients differ in their trend."""
    return elapsed / 5.0 if linear else np.log1p(elapsed)


def remaining_intervals(panel: Panel, clock: Clock) -> Floats:
    """Quantiles of the intervals that were left after k sessions among those who went on, shape (n_landmarks, 5)."""
    counts = panel.sessions_per_patient
    most = int(counts.max(initial=1))
    out = np.ones((most, len(LAST_QUANTILES)))
    end = np.where(counts > 0, panel.offsets[1:] - 1, 0)
    for k in range(most):
        on = counts > k
        if k and on.sum() < FEWEST_ON:
            out[k] = out[k - 1]
            continue
        now = panel.time[panel.offsets[:-1][on] + k - 1] if k else np.full(int(on.sum()), clock.intake_time)
        out[k] = np.quantile(clock.gap(now, panel.time[end[on]]), LAST_QUANTILES)
    return out
