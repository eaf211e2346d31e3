"""Cross products of each patient's rows: all that a linear mixed model needs of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sufficient statistics, patients along the last axis, patients of one therapist side by side.

    The columns called "joint" are ``[therapist design | fixed design | outcome]``, m = r + p + 1 of them.

    Attributes
    ----------
    zz : array of shape (q, q, n_patients)
        Z'Z, Z the design of the patient's random effects.
    za : array of shape (q, m, n_patients)
        Z'[T X y].
    ta : array of shape (r, m, n_treated)
        T'[T X y] of the patients who have a therapist; they come first.
    xx : array of shape (p + 1, p + 1)
        [X y]'[X y] over all rows.
    therapist_starts : int array of shape (n_therapists,)
        First patient of each therapist.
    therapist_of : int array of shape (n_treated,)
        Therapist of each of the first patients.
    n_rows : int
    log_determinant : float
        Of the residual correlation the rows were whitened with; 0 for independent residuals.
    """

    zz: Array
    za: Array
    ta: Array
    xx: Array
    therapist_starts: NDArray[np.intp]
    therapist_of: NDArray[np.intp]
    n_rows: int
    log_determinant: float = 0.0

    @property
    def q(self) -> int:
        """Random effects a patient."""
        return int(self.zz.shape[0])

    @property
    def r(self) -> int:
        """Random effects a therapist."""
        return int(self.ta.shape[0])

    @property
    def p(self) -> int:
        """Fixed effects."""
        return int(self.xx.shape[0]) - 1

    @property
    def n_patients(self) -> int:
        """Patients with at least one row."""
        return int(self.zz.shape[2])

    @property
    def n_treated(self) -> int:
        """Patients who have a therapist."""
        return len(self.therapist_of)

    @property
    def n_therapists(self) -> int:
        """Therapists with at least one patient."""
        return len(self.therapist_starts)


def patient_sums(
    outcome: Array,
    fixed: Array,
    patient: Array,
    therapist: Array,
    starts: NDArray[np.intp],
    therapist_of: NDArray[np.intp],
    *,
    log_determinant: float = 0.0,
) -> Sums:
    """Sum the cross products over each patient's rows.

    Parameters
    ----------
    outcome : array of shape (n_rows,)
    fixed, patient, therapist : arrays of shape (p, n_rows), (q, n_rows), (r, n_rows)
        Designs, one variable a row, no missing values; r may be 0.
    starts : int array of shape (n_patients,)
        First row of each patient; patients of one therapist stand side by side, those without one last.
    therapist_of : int array of shape (n_treated,)
        0-based, non-decreasing therapist of each patient who has one.
    log_determinant : float
        See `Sums`.
    """
    n_patients, n_treated = len(starts), len(therapist_of)
    joint = [*therapist, *fixed, outcome]
    q, r, m = len(patient), len(therapist), len(joint)
    zz, za, ta = np.empty((q, q, n_patients)), np.empty((q, m, n_patients)), np.empty((r, m, n_treated))
    for a in range(q):
        for b in range(a + 1):
            zz[a, b] = zz[b, a] = np.add.reduceat(patient[a] * patient[b], starts)
        for c, column in enumerate(joint):
            za[a, c] = np.add.reduceat(patient[a] * column, starts)
    for a in range(r):
        for c, column in enumerate(joint):
            ta[a, c] = np.add.reduceat(therapist[a] * column, starts)[:n_treated]
    both = np.vstack([fixed, outcome[None]])
    first = np.flatnonzero(np.diff(therapist_of, prepend=-1)) if r else np.zeros(0, dtype=np.intp)
    owner = therapist_of if r else np.zeros(0, dtype=np.intp)
    return Sums(zz, za, ta[:, :, : len(owner)], both @ both.T, first, owner, len(outcome), log_determinant)
