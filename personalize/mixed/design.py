"""From a user's rows to standardised designs: missing rows counted, nesting checked, singular columns named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from features.errors import NotEnoughData, OptionError, PanelError, listed
from personalize.mixed.sums import Array, Sums, patient_sums

DEPENDENT = 1e-8  # a column whose part not explained by the others is below this share of its length is dependent


@dataclass(frozen=True)
class Design:
    """Rows without missing values, sorted so that each therapist's and each patient's rows stand together.

    Fixed and random designs are standardised by triangular matrices so that the sums are well conditioned whatever
    the units and the origin of time: fixed = original @ inv(fixed_root), likewise the others.

    Attributes
    ----------
    outcome : array of shape (n_rows,)
        Residual of the outcome from an ordinary regression on the fixed design, divided by ``scale``.
    ordinary : array of shape (p,)
        That regression's coefficients, for the original columns.
    scale : float
    fixed, patient, therapist : arrays of shape (p, n_rows), (q, n_rows), (r, n_rows)
    fixed_root, patient_root, therapist_root : upper triangular arrays of shape (p, p), (q, q), (r, r)
    starts : int array of shape (n_patients,)
        First row of each patient.
    therapist_of : int array of shape (n_treated,)
    patient_ids, therapist_ids : Index
        In the order of ``starts`` and of the therapist codes.
    order : int array of shape (n_rows,)
        Row of the user's table that each row comes from.
    n_dropped : int
        Rows left out because something in them is missing.
    names : dict of {"outcome", "fixed", "patient", "therapist"} to list of str
    """

    outcome: Array
    ordinary: Array
    scale: float
    fixed: Array
    patient: Array
    therapist: Array
    fixed_root: Array
    patient_root: Array
    therapist_root: Array
    starts: NDArray[np.intp]
    therapist_of: NDArray[np.intp]
    patient_ids: pd.Index[Any]
    therapist_ids: pd.Index[Any]
    order: NDArray[np.intp]
    n_dropped: int
    names: dict[str, list[str]]

    def sums(self) -> Sums:
        """Cross products by patient."""
        return patient_sums(self.outcome, self.fixed, self.patient, self.therapist, self.starts, self.therapist_of)


def build_design(
    outcome: Array,
    fixed: Array,
    patient_design: Array,
    patient: Any,
    therapist: Any = None,
    *,
    therapist_design: Array | None = None,
    correlated: bool = True,
    names: dict[str, list[str]],
) -> Design:
    """Check, sort and standardise.

    Parameters
    ----------
    outcome : array of shape (n_rows,)
    fixed, patient_design : arrays of shape (n_rows, p) and (n_rows, q)
    patient : array-like of shape (n_rows,)
        Patient identifiers.
    therapist : array-like of shape (n_rows,), optional
        Therapist identifiers; missing where a patient has none.
    therapist_design : array of shape (n_rows, r), optional
        A column of ones by default.
    correlated : bool
        Whether random effects of one unit may correlate; then their design may be rotated to be well conditioned.
    names : dict
        See `Design`.

    Raises
    ------
    NotEnoughData
        When a column of a design is a combination of the others, the outcome does not vary, or there are too few
        patients or rows.
    PanelError
        When a patient identifier is missing, or a patient has rows with different therapists.
    """
    n = len(outcome)
    upper = np.zeros((n, 0))
    if therapist is not None:
        upper = np.ones((n, 1)) if therapist_design is None else therapist_design
    codes, ids, own, staff = _units(patient, therapist, n)
    there = np.isfinite(outcome) & np.isfinite(fixed).all(axis=1) & np.isfinite(patient_design).all(axis=1)
    there &= (own < 0) | np.isfinite(upper).all(axis=1)
    if not there.any():
        raise NotEnoughData(f"No row has {names['outcome'][0]!r} and every predictor; nothing can be fitted.")
    rows = np.flatnonzero(there)
    key = np.where(own[rows] < 0, len(staff), own[rows]) * len(ids) + codes[rows]
    if (np.diff(key) < 0).any():
        turn = np.argsort(key, kind="stable")
        rows, key = rows[turn], key[turn]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    patients, therapists = codes[rows[starts]], own[rows[starts]]
    if len(np.unique(patients)) < len(patients):
        twice = pd.Series(patients).duplicated().to_numpy()
        raise PanelError(
            f"The therapist changes within patient {listed(ids[np.unique(patients[twice])])}; the model nests "
            "patients in therapists: treat each patient-therapist pair as one episode, or leave the therapists out."
        )
    treated, compact = np.unique(therapists[therapists >= 0], return_inverse=True)
    y, x = outcome[rows], fixed[rows].T.copy()
    z, t = patient_design[rows].T.copy(), np.where(own[rows] < 0, 0.0, upper[rows].T)
    _enough(y, x, z, t, len(starts), treated, names)
    fixed_root = _root(x, names["fixed"], "fixed effect", rotate=True)
    patient_root = _root(z, names["patient"], "random effect of the patient", rotate=correlated)
    therapist_root = _root(t, names["therapist"], "random effect of the therapist", rotate=correlated)
    x, z, t = _standardise(x, fixed_root), _standardise(z, patient_root), _standardise(t, therapist_root)
    within = x @ y / len(y)
    residual = y - within @ x
    residual -= (x @ residual / len(y)) @ x
    scale = float(np.sqrt(residual @ residual / len(y)))
    if scale <= 1e-10 * float(np.sqrt(y @ y / len(y))):
        raise NotEnoughData(
            f"The outcome {names['outcome'][0]!r} is reproduced exactly by the fixed effects {listed(names['fixed'])}; "
            "nothing is left to model: leave out the predictor that equals the outcome."
        )
    return Design(
        residual / scale,
        solve_triangular(fixed_root, within) if len(x) else np.zeros(0),
        scale,
        x,
        z,
        t,
        fixed_root,
        patient_root,
        therapist_root,
        starts,
        compact.astype(np.intp),
        ids[patients],
        staff[treated],
        rows,
        n - len(rows),
        names,
    )


def _units(
    patient: Any, therapist: Any, n: int
) -> tuple[NDArray[np.intp], pd.Index[Any], NDArray[np.intp], pd.Index[Any]]:
    """Codes and identifiers of patients and therapists; -1 for no therapist."""
    codes, ids = pd.factorize(np.asarray(patient))
    if (codes < 0).any():
        raise PanelError(f"The patient identifier is missing in {int((codes < 0).sum())} of {n} rows; fill it in.")
    if therapist is None:
        return codes.astype(np.intp), pd.Index(ids), np.full(n, -1, dtype=np.intp), pd.Index([])
    own, staff = pd.factorize(np.asarray(therapist))
    if not len(staff):
        raise NotEnoughData("No row has a therapist; pass therapist=None.")
    return codes.astype(np.intp), pd.Index(ids), own.astype(np.intp), pd.Index(staff)


def _enough(
    y: Array, x: Array, z: Array, t: Array, n_patients: int, treated: NDArray[np.intp], names: dict[str, list[str]]
) -> None:
    """Refuse what no amount of optimising can identify."""
    n, outcome = len(y), names["outcome"][0]
    if np.ptp(y) == 0:
        raise NotEnoughData(f"The outcome {outcome!r} is {y[0]:g} in all {n} rows; a constant cannot be modelled.")
    if n_patients < 2:
        raise NotEnoughData(f"A mixed model needs at least 2 patients with usable rows; {n_patients} came.")
    if n <= len(x):
        raise NotEnoughData(f"{n} usable rows cannot carry {len(x)} fixed effects; leave some out.")
    if n <= len(z) * n_patients:
        raise NotEnoughData(
            f"{n} usable rows of {n_patients} patients cannot carry {len(z)} random effects a patient "
            f"({listed(names['patient'])}) beside the residual; patients need more sessions, or leave one out."
        )
    if len(t) and len(treated) < 2:
        raise NotEnoughData("One therapist treats every patient: the variance between therapists cannot be estimated.")
    if len(t) and len(treated) == n_patients:
        raise NotEnoughData(
            "Every therapist treats one patient: therapists cannot be told from patients; pass therapist=None."
        )


def _root(columns: Array, names: Sequence[str], what: str, *, rotate: bool) -> Array:
    """Upper triangular R with columns'columns / n = R'R; a diagonal of root mean squares where rotation is barred."""
    n = columns.shape[1]
    length = np.sqrt(np.einsum("an,an->a", columns, columns) / n)
    for name, value in zip(names, length, strict=True):
        if value == 0:
            raise NotEnoughData(f"Column {name!r} ({what}) is zero in every usable row; leave it out.")
    if not rotate:
        return np.diag(length)
    root = np.zeros((len(columns), len(columns)))
    if len(columns):
        root = np.linalg.qr((columns / length[:, None]).T, mode="r") / np.sqrt(n)
        for k, name in enumerate(names):
            if abs(root[k, k]) < DEPENDENT:
                raise NotEnoughData(
                    f"Column {name!r} ({what}) is a combination of {listed(names[:k])} in the {n} usable rows "
                    "(constant, or the same thing twice); leave it out."
                )
        root = root * length
        root = root * np.sign(np.diag(root))[:, None]
    return root


def _standardise(columns: Array, root: Array) -> Array:
    return solve_triangular(root, columns, trans="T") if len(columns) else columns


def as_design(values: Any, n: int, what: str) -> tuple[Array, list[str] | None]:
    """A two-dimensional float array and, from a data frame, its column names."""
    names = [str(c) for c in values.columns] if isinstance(values, pd.DataFrame) else None
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{what} must hold numbers; make 0/1 columns of categories first ({error}).") from None
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != n:
        raise OptionError(f"{what} must have one row for each of the {n} outcomes; shape {array.shape} came.")
    return array, names
