"""Growth model of the outcome, and what it expects of new patients after their first sessions.

    model = GrowthModel(ar=True).fit(y, time, X_baseline, patient, therapist)
    mean, variance = model.predict(history_y, history_time, history_patient, X_baseline, target_time, target_patient)

``patient`` holds row numbers of ``X_baseline`` (0-based); ``therapist`` has one identifier a patient, or is None.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData, NotFitted, OptionError
from personalize.mixed.basis import Basis, learn_basis
from personalize.mixed.growth_fit import GrowthParameters, estimate
from personalize.mixed.growth_predict import predict_growth
from personalize.mixed.sums import Array


class GrowthModel:
    """Linear mixed model of growth over log time, updated to a patient's own sessions (BLUP).

    The outcome of patient i of therapist j at time t is

        x(t)'beta + t_j + b0_i + b1_i f(t) + s_i(t) + e_it,      f(t) = log(1 + (t - origin) / unit),

    with x(t) the intercept, f(t), baseline columns and their products with f(t); (b0, b1) correlated normal; t_j a
    normal therapist effect; s an autocorrelated process, Cov(s(t), s(u)) = v exp(-|t - u| / reach) (``ar=True`` only);
    e independent. Everything is estimated by (restricted) maximum likelihood from each patient's whole likelihood.

    Parameters
    ----------
    ar : bool
        Estimate an autocorrelated residual beside the independent one.
    linear : bool
        Add linear time, and its products with baseline, to the fixed effects.
    interactions : bool
        Let every baseline column change the course over time, not only the level.
    method : {"REML", "ML"}
    max_patients : int
        The autocorrelation is estimated on a random sample of so many patients where there are more; all other
        parameters always on all patients.
    random_state : int
        Seeds that sample.

    Attributes
    ----------
    parameters_ : GrowthParameters
        Fixed effects and their covariance, covariance of random effects, therapist variance, residual variance,
        nugget share and reach, log likelihood, ``converged``.
    basis_ : Basis
        Origin and unit of time, baseline columns' means and scales.
    notes_ : list of str
        Baseline columns or random effects left out, and why.
    """

    def __init__(
        self,
        *,
        ar: bool = False,
        linear: bool = False,
        interactions: bool = True,
        method: str = "REML",
        max_patients: int = 4000,
        random_state: int = 0,
    ) -> None:
        self.ar = ar
        self.linear = linear
        self.interactions = interactions
        self.method = method
        self.max_patients = max_patients
        self.random_state = random_state

    def fit(self, y: Any, time: Any, X_baseline: Any = None, patient: Any = None, therapist: Any = None) -> GrowthModel:
        """Estimate the parameters.

        Parameters
        ----------
        y, time : array-like of shape (n_rows,)
            Outcome (rows where it is missing are left out) and time, in any unit and any order.
        X_baseline : array-like or DataFrame of shape (n_patients, n_baseline), optional
            Numeric intake columns, such as intake severity. Missing values are set to the mean, with an indicator
            column of their own; constant and dependent columns are left out and noted.
        patient : int array-like of shape (n_rows,)
            Row of ``X_baseline`` that each row belongs to.
        therapist : array-like of shape (n_patients,), optional
            Therapist of each patient; missing (None, NaN or a negative number) for none.

        Raises
        ------
        NotEnoughData
            When the outcome is constant or fewer than two patients have usable rows.
        OptionError
            When shapes do not match.
        """
        if patient is None:
            raise OptionError("fit: patient is needed, one row number of X_baseline for every outcome.")
        outcome, when, who = _rows("y", y, "time", time, "patient", patient)
        baseline, names = _baseline(X_baseline, int(who.max(initial=-1)) + 1)
        _known(who, len(baseline), "patient")
        there = np.isfinite(outcome) & np.isfinite(when)
        if not there.any():
            raise NotEnoughData("fit: no row has an outcome and a time.")
        outcome, when, who = outcome[there], when[there], who[there]
        turn = np.lexsort((when, who))
        outcome, when, who = outcome[turn], when[turn], who[turn]
        self.basis_, self.notes_ = learn_basis(
            when, who, baseline, names, linear=self.linear, interactions=self.interactions
        )
        staff = None if therapist is None else _therapists(therapist, len(baseline))
        self.parameters_: GrowthParameters = estimate(
            self.basis_,
            outcome,
            when,
            who,
            baseline,
            staff,
            ar=self.ar,
            method=self.method,
            max_patients=self.max_patients,
            rng=np.random.default_rng(self.random_state),
            notes=self.notes_,
        )
        return self

    def predict(
        self,
        history_y: Any,
        history_time: Any,
        history_patient: Any,
        X_baseline: Any,
        target_time: Any,
        target_patient: Any,
        *,
        therapist: Any = None,
    ) -> tuple[Array, Array]:
        """Predict outcomes of patients, seen in training or not, from their sessions so far.

        Parameters
        ----------
        history_y, history_time, history_patient : array-like of shape (n_history,)
            Sessions so far, in any order; a missing outcome is no information. May be empty.
        X_baseline : array-like or DataFrame of shape (n_patients, n_baseline) or None
            The columns given to `fit`.
        target_time, target_patient : array-like of shape (n_targets,)
            What to predict; with ``ar=True`` no earlier than the patient's last session of the history.
        therapist : array-like of shape (n_patients,), optional
            Known therapists bring their estimated effect; unknown ones the variance between therapists.

        Returns
        -------
        mean, variance : arrays of shape (n_targets,)
            Of a new observation, measurement error included. The variance carries the uncertainty of the patient's
            and the therapist's effects and of the fixed effects, not that of the variances.

        Raises
        ------
        NotFitted
        OptionError
            When shapes do not match, or a target lies before the end of its patient's history (``ar=True``).
        """
        if not hasattr(self, "parameters_"):
            raise NotFitted("GrowthModel: call fit before predict.")
        outcome, when, who = _rows(
            "history_y", history_y, "history_time", history_time, "history_patient", history_patient
        )
        _, target, aim = _rows("target_time", target_time, "target_time", target_time, "target_patient", target_patient)
        if not np.isfinite(target).all():
            raise OptionError(f"predict: target_time is missing in {int((~np.isfinite(target)).sum())} rows.")
        last = max(int(who.max(initial=-1)), int(aim.max(initial=-1))) + 1
        baseline, _ = _baseline(X_baseline, last)
        _known(who, len(baseline), "history_patient")
        _known(aim, len(baseline), "target_patient")
        there = np.isfinite(outcome) & np.isfinite(when)
        outcome, when, who = outcome[there], when[there], who[there]
        turn = np.lexsort((when, who))
        staff = None if therapist is None else _therapists(therapist, len(baseline))
        return predict_growth(
            self.basis_, self.parameters_, outcome[turn], when[turn], who[turn], baseline, target, aim, staff
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything fitted as plain numbers and strings, for JSON."""
        if not hasattr(self, "parameters_"):
            raise NotFitted("GrowthModel: call fit before to_dict.")
        options = {
            k: getattr(self, k) for k in ("ar", "linear", "interactions", "method", "max_patients", "random_state")
        }
        return {
            "options": options,
            "basis": self.basis_.to_dict(),
            "parameters": self.parameters_.to_dict(),
            "notes": list(self.notes_),
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> GrowthModel:
        """Rebuild a fitted model from `to_dict`."""
        model = cls(**saved["options"])
        model.basis_ = Basis.from_dict(saved["basis"])
        model.parameters_ = GrowthParameters.from_dict(saved["parameters"])
        model.notes_ = list(saved["notes"])
        return model


def _rows(
    name: str, y: Any, time_name: str, time: Any, patient_name: str, patient: Any
) -> tuple[Array, Array, NDArray[np.intp]]:
    try:
        outcome, when = np.asarray(y, dtype=float), np.asarray(time, dtype=float)
        who = np.asarray(patient)
        who = who.astype(np.intp) if who.size == 0 else who
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} and {time_name} must hold numbers ({error}).") from None
    if outcome.ndim != 1 or outcome.shape != when.shape or outcome.shape != who.shape:
        raise OptionError(
            f"{name}, {time_name} and {patient_name} must be one-dimensional and equally long; "
            f"shapes {outcome.shape}, {when.shape} and {who.shape} came."
        )
    if not np.issubdtype(who.dtype, np.integer) or (who < 0).any():
        raise OptionError(f"{patient_name} must hold row numbers of X_baseline (whole numbers from 0).")
    return outcome, when, who.astype(np.intp)


def _baseline(values: Any, n_patients: int) -> tuple[Array, list[str]]:
    if values is None:
        return np.zeros((n_patients, 0)), []
    names = [str(c) for c in values.columns] if hasattr(values, "columns") else None
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise OptionError(f"X_baseline must hold numbers ({error}).") from None
    array = array[:, None] if array.ndim == 1 else array
    return array, names or [f"baseline{k}" for k in range(array.shape[1])]


def _known(who: NDArray[np.intp], n_patients: int, name: str) -> None:
    if (who >= n_patients).any():
        raise OptionError(f"{name} names row {int(who.max())}; X_baseline has {n_patients} rows.")


def _therapists(values: Any, n_patients: int) -> NDArray[Any]:
    """Identifiers as objects, None for none."""
    out = np.empty(n_patients, dtype=object)
    given = list(values)
    if len(given) != n_patients:
        raise OptionError(f"therapist must have one value for each of the {n_patients} patients; {len(given)} came.")
    for k, value in enumerate(given):
        item = value.item() if isinstance(value, np.generic) else value
        gone = item is None or item != item or (isinstance(item, (int, float)) and item < 0)
        out[k] = None if gone else item
    return out
