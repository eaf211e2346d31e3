"""Three-level random-intercept model by restricted maximum likelihood, from patient means; any imbalance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from features.errors import NotEnoughData
from features.windows import Layout, Moments

Floats = NDArray[np.float64]
ROUNDING = 1e-20  # share of within in between below which patients' values are the same but for rounding
EDGE = 1e-9  # shares stay this far from 1, where the likelihood has no value


@dataclass(frozen=True)
class Likelihood:
    """REML criterion of ``x = μ + t_j + p_ij + e_ijs`` in the variance shares; the total variance is profiled out.

    Attributes
    ----------
    mean, n : arrays of shape (n_patients,)
        Mean and number of each patient's values; patients without a value are left out.
    cluster : int array of shape (n_patients,)
        Therapist of each patient, clusters numbered from 0.
    treated : float array of shape (n_clusters,)
        1 where the cluster is a therapist, 0 where it is one patient without therapist.
    within : float
        Sum of squared deviations of the values from their patient's mean.
    """

    mean: Floats
    n: Floats
    cluster: NDArray[np.intp]
    treated: Floats
    within: float

    @classmethod
    def of(cls, x: Floats, patient: NDArray[np.intp], therapist: NDArray[np.intp]) -> Likelihood:
        """Collect the sufficient statistics of values, their patients, and each patient's therapist (-1: none)."""
        seen = ~np.isnan(x)
        who, values = patient[seen], x[seen]
        count = np.bincount(who, minlength=len(therapist)).astype(float)
        centre = values.mean() if len(values) else 0.0
        total = np.bincount(who, values - centre, minlength=len(therapist))
        has = count > 0
        mean = np.zeros(len(therapist))
        mean[has] = total[has] / count[has]
        within = float(np.sum((values - centre - mean[who]) ** 2))
        group = np.where(therapist < 0, therapist.max(initial=-1) + 1 + np.arange(len(therapist)), therapist)[has]
        labels, cluster = np.unique(group, return_inverse=True)
        treated = (labels <= therapist.max(initial=-1)).astype(float)
        return cls(mean[has] + centre, count[has], cluster.astype(np.intp), treated, within)

    @property
    def n_values(self) -> float:
        """Number of values."""
        return float(self.n.sum())

    def parts(self, patient: float, therapist: float) -> tuple[float, float, float]:
        """Deviance (-2 REML log-likelihood), total variance and mean at the shares given."""
        session = 1.0 - patient - therapist
        spread = patient + session / self.n
        weight = 1.0 / spread
        size = len(self.treated)
        a = np.bincount(self.cluster, weight, minlength=size)
        b = np.bincount(self.cluster, weight * self.mean, minlength=size)
        shared = 1.0 + therapist * self.treated * a
        information = float(np.sum(a / shared))
        mu = float(np.sum(b / shared)) / information
        gap = self.mean - mu
        pull = np.bincount(self.cluster, weight * gap, minlength=size)
        between = float(np.sum(weight * gap * gap) - np.sum(therapist * self.treated * pull * pull / shared))
        free = self.n_values - 1.0
        scale = (self.within / session + between) / free
        logs = np.sum(np.log(spread)) + np.sum(np.log(shared)) + np.sum(np.log(self.n)) + np.log(information)
        logs += (self.n_values - len(self.n)) * np.log(session)
        return float(free * (np.log(scale) + 1.0 + np.log(2 * np.pi)) + logs), float(scale), mu

    def deviance(self, patient: float, therapist: float) -> float:
        """-2 REML log-likelihood at the shares of patient and therapist, the rest being session."""
        return self.parts(patient, therapist)[0]


@dataclass(frozen=True)
class Components:
    """Overall mean and variances; numbers, or arrays of shape (n_sessions,) where they change along the treatment."""

    mean: Any
    session: Any
    patient: Any
    therapist: Any = 0.0


def fit(likelihood: Likelihood) -> tuple[float, float]:
    """Shares of patient and therapist that maximise the likelihood.

    Raises
    ------
    NotEnoughData
        Without two patients, one of them with two values, or without any variation within patients.
    """
    if len(likelihood.n) < 2 or likelihood.n_values <= len(likelihood.n):
        raise NotEnoughData(
            f"variance shares need at least two patients, and two values of one of them; there are "
            f"{len(likelihood.n)} patients with {likelihood.n_values:g} values."
        )
    between = float(likelihood.n @ (likelihood.mean - likelihood.mean.mean()) ** 2)
    if likelihood.within <= ROUNDING * between:
        raise NotEnoughData("variance shares need variation within patients; every patient's values are all the same.")
    several = np.bincount(likelihood.cluster)[likelihood.treated > 0]
    nested = len(several) > 1 and bool((several > 1).any())

    def criterion(at: Floats) -> float:
        return likelihood.deviance(at[0] * (1 - at[1]), at[0] * at[1])

    ends = [(0.0, 1.0 - 1e-6), (0.0, 1.0) if nested else (0.0, 0.0)]
    best: Any = None
    for start in ((0.5, 0.1), (0.1, 0.5)) if nested else ((0.5, 0.0), (0.05, 0.0)):
        found = optimize.minimize(criterion, np.array(start), method="L-BFGS-B", bounds=ends, options={"ftol": 1e-13})
        found = optimize.minimize(
            criterion, found.x, method="Nelder-Mead", bounds=ends, options={"xatol": 1e-7, "fatol": 1e-9}
        )
        if best is None or found.fun < best.fun:
            best = found
    return float(best.x[0] * (1 - best.x[1])), float(best.x[0] * best.x[1])


def components(x: Floats, patient: NDArray[np.intp], n_patients: int) -> Components:
    """Two-level variances (patient, session) of values by REML; NaN where there is too little to tell."""
    likelihood = Likelihood.of(x, patient, np.full(n_patients, -1, dtype=np.intp))
    try:
        share, _ = fit(likelihood)
    except NotEnoughData:
        return Components(np.nan, np.nan, np.nan)
    _, scale, mean = likelihood.parts(share, 0.0)
    return Components(mean, scale * (1 - share), scale * share)


def components_so_far(so_far: Moments, layout: Layout) -> Components:
    """Two-level variances from all patients' sessions up to the same number, one set a step; arrays in step order.

    Moment estimator of the unbalanced one-way layout: ``σ²_e = SSW / (N − I)``,
    ``σ²_p = max(0, (MSB − σ²_e) / n0)`` with ``n0 = (N − Σ n_i² / N) / (I − 1)``
    (Searle, Casella & McCulloch 1992, Variance Components, ch. 3).
    """
    n, mean = so_far.n, np.nan_to_num(so_far.mean)
    totals = [np.minimum(n, 1.0), n, n * n, so_far.squares, n * mean, n * mean * mean, mean]
    steps = []
    for level in totals:
        grown = level.copy()
        for here, before in layout.walk():
            grown[here] -= level[before]
        steps.append(np.cumsum(np.add.reduceat(grown, layout.bounds[:-1])) if len(grown) else grown)
    patients, values, square, within, total, raw, means = steps
    with np.errstate(invalid="ignore", divide="ignore"):
        session = np.where(values > patients, within / (values - patients), np.nan)
        between = np.maximum(raw - total**2 / values, 0.0) / (patients - 1)
        size = (values - square / values) / (patients - 1)
        patient = np.maximum((between - session) / size, 0.0)
        overall = means / patients
    patient = np.where(patients > 1, patient, np.nan)
    repeat = np.repeat(np.arange(layout.steps), np.diff(layout.bounds))
    return Components(overall[repeat], session[repeat], patient[repeat])
