"""Maximum likelihood for the growth model: covariances by the mixed-model core, autocorrelation around it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from features.errors import check_option
from personalize.mixed.basis import Basis
from personalize.mixed.design import Design, build_design
from personalize.mixed.deviance import solve
from personalize.mixed.fit import summarise
from personalize.mixed.optimise import Optimum, Shape, optimise
from personalize.mixed.residual import Residual, whiten
from personalize.mixed.sums import Array, Sums, patient_sums

STARTS = ((0.5, 2.0), (0.2, 6.0))  # nugget share and reach, in units, from which the search sets out
LOWEST_NUGGET, SHORTEST, LONGEST = 0.01, 0.1, 50.0
STEP = 1e-4  # of the logit of the nugget and the log of the reach, for central differences


@dataclass(frozen=True)
class GrowthParameters:
    """Estimates of the growth model, in the outcome's units; random effects are level and course over log time.

    Attributes
    ----------
    terms : tuple of str
    beta : array of shape (p,)
    beta_covariance : array of shape (p, p)
    patient_covariance : array of shape (2, 2)
    therapist_variance : float
        0 where the model has no therapist level.
    residual_variance : float
        Independent and autocorrelated parts together.
    nugget : float
        Share of the residual variance that is independent; 1 without autocorrelation.
    reach : float
        Gap, in units of the basis, after which the autocorrelated part has fallen to 1/e.
    therapist_ids : tuple
    therapist_effects, therapist_uncertainty : arrays of shape (n_therapists,)
        Estimated effect and its posterior variance.
    log_likelihood : float
    converged : bool
    n_patients, n_rows, n_patients_residual : int
        The last: how many patients the autocorrelation was estimated on.
    """

    terms: tuple[str, ...]
    beta: Array
    beta_covariance: Array
    patient_covariance: Array
    therapist_variance: float
    residual_variance: float
    nugget: float
    reach: float
    therapist_ids: tuple[Any, ...]
    therapist_effects: Array
    therapist_uncertainty: Array
    log_likelihood: float
    converged: bool
    n_patients: int
    n_rows: int
    n_patients_residual: int

    @property
    def residual(self) -> Residual:
        """The residual's correlation."""
        return Residual(self.nugget, self.reach)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            out[f.name] = list(plain) if isinstance(plain, tuple) else plain
        return out

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> GrowthParameters:
        """Rebuild from `to_dict`."""
        arrays = ("beta", "beta_covariance", "patient_covariance", "therapist_effects", "therapist_uncertainty")
        turned: dict[str, Any] = {k: np.asarray(v, dtype=float) if k in arrays else v for k, v in saved.items()}
        whole: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in turned.items()}
        return cls(**whole)


def estimate(
    basis: Basis,
    outcome: Array,
    time: Array,
    patient: NDArray[np.intp],
    baseline: Array,
    therapist: NDArray[Any] | None,
    *,
    ar: bool,
    method: str,
    max_patients: int,
    rng: np.random.Generator,
    notes: list[str],
) -> GrowthParameters:
    """Estimate all parameters from rows sorted by patient and time; what had to be left out goes to ``notes``."""
    check_option("method", method, ("REML", "ML"))
    traits = basis.traits(baseline)
    fixed, own = basis.fixed(time, traits[:, patient]), basis.patient(time)
    n_patients = len(np.unique(patient))
    if len(outcome) <= 2 * n_patients:
        own = own[:1]
        notes.append("Too few sessions a patient for courses that differ between patients; only levels do.")
    staff = None if therapist is None else therapist[np.unique(patient)]
    if staff is not None:
        treated = [s for s in staff if s is not None]
        if len(set(treated)) < 2 or len(treated) == len(set(treated)):
            notes.append("No therapist effect: it takes two therapists, and one with more than one patient.")
            staff = None
    design = build_design(
        outcome,
        fixed.T,
        own.T,
        patient,
        None if staff is None or therapist is None else therapist[patient],
        names={
            "outcome": ["outcome"],
            "fixed": basis.terms,
            "patient": ["intercept", "log_time"][: len(own)],
            "therapist": [] if staff is None else ["intercept"],
        },
    )
    elapsed = (time / basis.unit)[design.order]
    shape = Shape(len(design.patient), len(design.therapist), True)
    reml = method == "REML"
    residual, start, used = Residual(), None, 0
    if ar:
        some = _sample(design, elapsed, max_patients, rng)
        residual, start = _estimate_residual(some, shape, reml)
        used = len(some.starts)
    sums = _Rows.whole(design, elapsed).sums(residual)
    optimum: Optimum = optimise(sums, shape, reml=reml, start=start)
    fit = summarise(design, optimum, shape, cast(Literal["REML", "ML"], method), pd.Index(design.patient_ids))
    if not optimum.converged:
        notes.append(f"The growth model did not converge (another step would gain {optimum.decrement:.2g}).")
    covariance = np.zeros((2, 2))
    covariance[: shape.q, : shape.q] = fit.patient_covariance.to_numpy()
    none = np.zeros(0)
    return GrowthParameters(
        tuple(basis.terms),
        fit.fixed["estimate"].to_numpy(),
        fit.fixed_covariance.to_numpy(),
        covariance,
        float(fit.therapist_covariance.to_numpy()[0, 0]) if shape.r else 0.0,
        fit.residual_variance,
        residual.nugget,
        residual.reach,
        tuple(design.therapist_ids) if shape.r else (),
        fit.therapist_effects.to_numpy()[:, 0] if shape.r else none,
        fit.therapist_effects_covariance[:, 0, 0] if shape.r else none,
        fit.log_likelihood,
        optimum.converged,
        fit.n_patients,
        fit.n_observations,
        used,
    )


@dataclass(frozen=True)
class _Rows:
    """Standardised columns (therapist, patient, fixed, outcome) of some patients, ready to be whitened."""

    columns: Array
    sizes: tuple[int, int]
    time: Array
    starts: NDArray[np.intp]
    therapist_of: NDArray[np.intp]

    @classmethod
    def whole(cls, design: Design, elapsed: Array) -> _Rows:
        columns = np.vstack([design.therapist, design.patient, design.fixed, design.outcome[None]])
        sizes = (len(design.therapist), len(design.patient))
        return cls(columns, sizes, elapsed, design.starts, design.therapist_of)

    def sums(self, residual: Residual) -> Sums:
        white = whiten(self.columns, self.time, self.starts, residual)
        r, q = self.sizes
        c = white.columns
        return patient_sums(
            c[-1], c[r + q : -1], c[r : r + q], c[:r], self.starts, self.therapist_of,
            log_determinant=white.log_determinant,
        )  # fmt: skip


def _sample(design: Design, elapsed: Array, max_patients: int, rng: np.random.Generator) -> _Rows:
    """Whole therapists (patients without one singly) at random, until there are enough patients."""
    everything = _Rows.whole(design, elapsed)
    n = len(design.starts)
    if n <= max_patients:
        return everything
    cluster = np.arange(n) + len(design.therapist_ids)
    cluster[: len(design.therapist_of)] = design.therapist_of
    ids, code = np.unique(cluster, return_inverse=True)
    rank = rng.permutation(len(ids))
    size = np.bincount(code)
    before = np.empty(len(ids), dtype=np.intp)
    before[np.argsort(rank)] = np.cumsum(size[np.argsort(rank)]) - size[np.argsort(rank)]
    chosen = np.flatnonzero(before[code] < max_patients)
    lengths = np.diff(np.append(design.starts, len(elapsed)))
    rows = np.flatnonzero(np.repeat(before[code] < max_patients, lengths))
    starts = np.concatenate([[0], np.cumsum(lengths[chosen])[:-1]]).astype(np.intp)
    own = design.therapist_of[chosen[chosen < len(design.therapist_of)]]
    compact = np.unique(own, return_inverse=True)[1].astype(np.intp)
    return _Rows(everything.columns[:, rows], everything.sizes, elapsed[rows], starts, compact)


def _estimate_residual(rows: _Rows, shape: Shape, reml: bool) -> tuple[Residual, Array]:
    """Nugget and reach, jointly with the relative factors; independent residuals where nothing is gained."""
    plain = optimise(rows.sums(Residual()), shape, reml=reml)
    best, residual, theta = plain.solved.deviance, Residual(), plain.theta
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(plain.theta)
    bounds += [(_logit(LOWEST_NUGGET), _logit(0.999)), (np.log(SHORTEST), np.log(LONGEST))]

    def deviance(values: Array) -> float:
        sums = rows.sums(_residual(values))
        return solve(sums, *shape.factors(values[:-2]), reml=reml).deviance

    def objective(values: Array) -> tuple[float, Array]:
        factors = shape.factors(values[:-2])
        at = solve(rows.sums(_residual(values)), *factors, reml=reml, detail=1)
        assert at.patient_score is not None and at.therapist_score is not None
        gradient = np.empty(len(values))
        gradient[:-2] = 2 * shape.theta(at.patient_score @ factors[0], at.therapist_score @ factors[1])
        for k in (-2, -1):
            up, down = values.copy(), values.copy()
            up[k] += STEP
            down[k] -= STEP
            gradient[k] = (deviance(up) - deviance(down)) / (2 * STEP)
        return at.deviance, gradient

    for nugget, reach in STARTS:
        start = np.concatenate(
            [
                np.where(np.abs(plain.theta) < 0.05, np.maximum(0.1 * shape.start(), plain.theta), plain.theta),
                [_logit(nugget), np.log(reach)],
            ]
        )
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-9, "gtol": 1e-3}
        )
        if found.fun < best - 1e-6:
            best, residual, theta = float(found.fun), _residual(found.x), np.asarray(found.x[:-2])
    return residual, theta


def _residual(values: Array) -> Residual:
    return Residual(float(1 / (1 + np.exp(-values[-2]))), float(np.exp(values[-1])))


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
