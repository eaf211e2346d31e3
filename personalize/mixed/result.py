"""What a fitted mixed model says: fixed effects, variances, and each patient's and therapist's own part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import OptionError
from personalize.mixed.sums import Array


@dataclass(frozen=True)
class Link:
    """What ties the random effects' errors to those of the fixed effects and of the therapist.

    Attributes
    ----------
    patient_fixed : array of shape (n_patients, q, p)
        Minus the covariance of (estimated minus true) random and fixed effects.
    therapist_fixed : array of shape (n_therapists, r, p)
    patient_therapist : array of shape (n_treated, q, r)
        Posterior covariance of a patient's effects with those of the therapist; treated patients in order.
    therapist_of : int array of shape (n_patients,)
        -1 for none.
    """

    patient_fixed: Array
    therapist_fixed: Array
    patient_therapist: Array
    therapist_of: NDArray[np.intp]


@dataclass(frozen=True)
class MixedFit:
    """A fitted three-level linear mixed model.

    Attributes
    ----------
    method : {"REML", "ML"}
    fixed : DataFrame, index term; columns estimate, se
        In the outcome's units per unit of the term.
    fixed_covariance : DataFrame of shape (p, p)
    patient_covariance : DataFrame of shape (q, q)
        Covariance of the patients' random effects.
    therapist_covariance : DataFrame of shape (r, r)
        Empty where the model has no therapist level.
    residual_variance : float
    log_likelihood : float
        The restricted log likelihood where method is REML, as lme4's ``logLik`` reports it.
    deviance : float
        -2 log_likelihood (lme4: the deviance of an ML fit, the REML criterion of a REML fit).
    n_observations, n_patients, n_therapists, n_parameters : int
        Parameters count fixed effects, variances, covariances and the residual.
    n_dropped : int
        Rows left out because a value in them is missing.
    patient_effects : DataFrame, index patient id, one column a random effect
        Best linear unbiased predictions, in the order in which patients first appear.
    patient_effects_covariance : array of shape (n_patients, q, q)
        Posterior covariance given variances and fixed effects (lme4's ``condVar``).
    therapist_effects : DataFrame, index therapist id
    therapist_effects_covariance : array of shape (n_therapists, r, r)
    converged : bool
    boundary : bool
        Some variance is zero, or some correlation is one in size ("singular fit").
    notes : tuple of str
        Rows dropped, boundary solutions, failed convergence: said in words.
    n_evaluations : int
        Evaluations of the deviance.
    """

    method: Literal["REML", "ML"]
    fixed: pd.DataFrame
    fixed_covariance: pd.DataFrame
    patient_covariance: pd.DataFrame
    therapist_covariance: pd.DataFrame
    residual_variance: float
    log_likelihood: float
    deviance: float
    n_observations: int
    n_patients: int
    n_therapists: int
    n_parameters: int
    n_dropped: int
    patient_effects: pd.DataFrame
    patient_effects_covariance: Array
    therapist_effects: pd.DataFrame
    therapist_effects_covariance: Array
    converged: bool
    boundary: bool
    notes: tuple[str, ...]
    n_evaluations: int
    link: Link = field(repr=False)

    @property
    def aic(self) -> float:
        """Akaike's criterion, deviance + 2 parameters; under REML only fits with the same fixed effects compare."""
        return self.deviance + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Deviance + log(n_observations) parameters, as lme4 counts."""
        return self.deviance + float(np.log(self.n_observations)) * self.n_parameters

    @property
    def patient_sd(self) -> pd.Series:
        """Standard deviations of the patients' random effects."""
        return _sd(self.patient_covariance)

    @property
    def therapist_sd(self) -> pd.Series:
        """Standard deviations of the therapists' random effects."""
        return _sd(self.therapist_covariance)

    @property
    def patient_correlation(self) -> pd.DataFrame:
        """Correlations of the patients' random effects; missing where a variance is zero."""
        return _correlation(self.patient_covariance)

    @property
    def therapist_correlation(self) -> pd.DataFrame:
        """Correlations of the therapists' random effects; missing where a variance is zero."""
        return _correlation(self.therapist_covariance)

    def variances(self) -> pd.DataFrame:
        """One tidy table: level, term, variance, sd."""
        rows = [("patient", t, v) for t, v in _diagonal(self.patient_covariance)]
        rows += [("therapist", t, v) for t, v in _diagonal(self.therapist_covariance)]
        rows.append(("residual", "residual", self.residual_variance))
        out = pd.DataFrame(rows, columns=["level", "term", "variance"])
        out["sd"] = np.sqrt(out["variance"])
        return out

    def combine(self, fixed: Any, patient: Any, therapist: Any = None) -> pd.DataFrame:
        """Predict w'beta + z'b_i + u't_j for every patient, with its posterior standard deviation.

        Parameters
        ----------
        fixed : array of shape (n_patients, p) or (p,)
            Weights of the fixed effects, patients in the order of ``patient_effects``.
        patient : array of shape (n_patients, q) or (q,)
            Weights of the patient's own random effects.
        therapist : array of shape (n_patients, r) or (r,), optional
            Weights of the random effects of the patient's therapist; none by default. They are ignored for patients
            without a therapist.

        Returns
        -------
        DataFrame, index patient id; columns estimate, sd
            ``sd`` carries the uncertainty of fixed and random effects and their covariance, not that of the variances.
        """
        n, link = self.n_patients, self.link
        w = _weights("fixed", fixed, (n, len(self.fixed)))
        z = _weights("patient", patient, (n, self.patient_effects.shape[1]))
        beta, cov = self.fixed["estimate"].to_numpy(), self.fixed_covariance.to_numpy()
        estimate = w @ beta + np.einsum("nq,nq->n", z, self.patient_effects.to_numpy())
        pull = np.einsum("nq,nqp->np", z, link.patient_fixed)
        variance = np.einsum("nq,nqk,nk->n", z, self.patient_effects_covariance, z)
        if therapist is not None:
            u = _weights("therapist", therapist, (n, self.therapist_effects.shape[1]))
            has = link.therapist_of >= 0
            j = link.therapist_of[has]
            estimate[has] += np.einsum("nr,nr->n", u[has], self.therapist_effects.to_numpy()[j])
            pull[has] += np.einsum("nr,nrp->np", u[has], link.therapist_fixed[j])
            variance[has] += np.einsum("nr,nrk,nk->n", u[has], self.therapist_effects_covariance[j], u[has])
            variance[has] += 2 * np.einsum("nq,nqr,nr->n", z[has], link.patient_therapist, u[has])
        # errors of fixed and random effects go together: Var = (w - pull)' Cov(beta) (w - pull) + conditional
        rest = w - pull
        variance += np.einsum("np,pk,nk->n", rest, cov, rest)
        out = {"estimate": estimate, "sd": np.sqrt(np.maximum(variance, 0.0))}
        return pd.DataFrame(out, index=self.patient_effects.index)

    def summary(self) -> str:
        """A short text: method, sizes, fixed effects, variances, notes."""
        head = (
            f"Linear mixed model, {self.method}: {self.n_observations} rows, {self.n_patients} patients, "
            f"{self.n_therapists} therapists; log likelihood {self.log_likelihood:.2f}"
        )
        parts = [head, self.fixed.to_string(float_format="{:.4f}".format)]
        parts.append(self.variances().to_string(index=False, float_format="{:.4f}".format))
        return "\n".join([*parts, *self.notes])


def _sd(covariance: pd.DataFrame) -> pd.Series:
    return pd.Series(np.sqrt(np.diag(covariance.to_numpy())), index=covariance.index)


def _diagonal(covariance: pd.DataFrame) -> list[tuple[str, float]]:
    return list(zip(map(str, covariance.index), np.diag(covariance.to_numpy()).tolist(), strict=True))


def _correlation(covariance: pd.DataFrame) -> pd.DataFrame:
    sd = np.sqrt(np.diag(covariance.to_numpy()))
    sd = np.where(sd > 0, sd, np.nan)
    return pd.DataFrame(covariance.to_numpy() / np.outer(sd, sd), index=covariance.index, columns=covariance.columns)


def _weights(name: str, values: Any, shape: tuple[int, int]) -> Array:
    array = np.asarray(values, dtype=float)
    if array.ndim == 1 and array.shape == shape[1:]:
        array = np.broadcast_to(array, shape)
    if array.shape != shape:
        raise OptionError(f"combine: {name} must have shape {shape} or ({shape[1]},); {array.shape} came.")
    return array
