"""Fit a three-level linear mixed model: patients in therapists, exact, from per-patient cross products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

from features.errors import OptionError, check_option
from personalize.mixed.design import Design, as_design, build_design
from personalize.mixed.optimise import Optimum, Shape, optimise
from personalize.mixed.result import Link, MixedFit
from personalize.mixed.sums import Array

LEVELS = ("outcome", "fixed", "patient", "therapist")


def fit_mixed(
    y: Any,
    X: Any,
    Z: Any,
    patient: Any,
    therapist: Any = None,
    *,
    therapist_Z: Any = None,
    method: Literal["REML", "ML"] = "REML",
    correlated: bool = True,
    names: Mapping[str, Sequence[str]] | None = None,
) -> MixedFit:
    r"""Fit y = X beta + therapist_Z t_j + Z b_i + e by (restricted) maximum likelihood.

    b_i ~ N(0, D) for patient i, t_j ~ N(0, P) for therapist j, e ~ N(0, s2); D and P are free covariance matrices, or
    diagonal ones. In lme4's language ``y ~ X + (Z | patient) + (therapist_Z | therapist)`` with no column added: the
    intercept, where one is wanted, is a column of ones.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
    X : array-like or DataFrame of shape (n_rows, p)
        Fixed effects, intercept included.
    Z : array-like or DataFrame of shape (n_rows, q)
        Random effects of the patient; a column may be a product such as month times a 0/1 arm.
    patient, therapist : array-like of shape (n_rows,)
        Identifiers. A missing therapist: the patient has none. ``therapist=None``: no such level.
    therapist_Z : array-like or DataFrame of shape (n_rows, r), optional
        Random effects of the therapist; a random intercept by default.
    method : {"REML", "ML"}
    correlated : bool
        False holds every covariance between random effects at zero (lme4's ``||``).
    names : mapping of {"outcome", "fixed", "patient", "therapist"} to sequence of str, optional
        What to call the columns in results and messages; data frames bring their own.

    Returns
    -------
    MixedFit

    Raises
    ------
    NotEnoughData
        When the outcome is constant or reproduced by X, a column is a combination of others, or there are too few
        rows, patients or therapists; the message names the column.
    PanelError
        When a patient has rows with different therapists.
    OptionError
        When an option, a shape or a name is not what is allowed.

    Notes
    -----
    Rows with a missing value in y, X, Z (or therapist_Z, where there is a therapist) are left out and counted. The
    deviance is profiled over the relative covariance factors as in Bates, Maechler, Bolker & Walker (2015), Journal
    of Statistical Software 67(1), with both levels eliminated block by block, so time and memory grow with the number
    of patients, and the gradient is exact. A fit that did not converge says so in ``converged`` and ``notes``.

    Examples
    --------
    >>> score = [9.0, 7.0, 6.5, 8.0, 7.5, 5.0, 4.0, 3.5, 1.0]
    >>> week = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    >>> X = [[1, w] for w in week]
    >>> fit = fit_mixed(score, X, [[1]] * 9, ["a"] * 3 + ["b"] * 3 + ["c"] * 3, names={"fixed": ["intercept", "week"]})
    >>> fit.fixed["estimate"].round(4).tolist(), round(fit.residual_variance, 4)
    ([7.1389, -1.4167], 0.3583)
    """
    check_option("method", method, ("REML", "ML"))
    check_option("correlated", correlated, (True, False))
    try:
        outcome = np.asarray(y, dtype=float)
    except (TypeError, ValueError) as error:
        raise OptionError(f"y must hold numbers ({error}).") from None
    if outcome.ndim != 1:
        raise OptionError(f"y must be one-dimensional; shape {outcome.shape} came.")
    n = len(outcome)
    for label, who in (("patient", patient), ("therapist", therapist)):
        if who is not None and len(who) != n:
            raise OptionError(f"{label} must have one identifier for each of the {n} outcomes; {len(who)} came.")
    if therapist is None and therapist_Z is not None:
        raise OptionError("therapist_Z needs therapist: pass the therapists' identifiers too.")
    fixed, fixed_names = as_design(X, n, "X")
    own, own_names = as_design(Z, n, "Z")
    upper, upper_names = (None, None) if therapist_Z is None else as_design(therapist_Z, n, "therapist_Z")
    r = 0 if therapist is None else 1 if upper is None else upper.shape[1]
    if own.shape[1] == 0:
        raise OptionError("Z has no column; a random intercept is a column of ones.")
    labels = _names(names, {"fixed": fixed_names, "patient": own_names, "therapist": upper_names}, (fixed, own), r)
    design = build_design(
        outcome, fixed, own, patient, therapist, therapist_design=upper, correlated=correlated, names=labels
    )
    optimum = optimise(design.sums(), Shape(own.shape[1], r, correlated), reml=method == "REML")
    return summarise(design, optimum, Shape(own.shape[1], r, correlated), method, first_seen(patient, design))


def _names(
    given: Mapping[str, Sequence[str]] | None,
    brought: dict[str, list[str] | None],
    designs: tuple[Array, Array],
    r: int,
) -> dict[str, list[str]]:
    """Names of every column: those given, else the data frame's, else x0, x1, ... and z0, z1, ..."""
    given = dict(given or {})
    for key in given:
        check_option("key of names", key, LEVELS)
    sizes = {"outcome": 1, "fixed": designs[0].shape[1], "patient": designs[1].shape[1], "therapist": r}
    stems = {"outcome": "outcome", "fixed": "x", "patient": "z", "therapist": "u"}
    out: dict[str, list[str]] = {}
    for level in LEVELS:
        chosen = given.get(level) or brought.get(level)
        if isinstance(chosen, str):
            chosen = [chosen]
        if chosen is None:
            lone = level == "outcome" or (level == "therapist" and r == 1)
            chosen = [
                (stems[level] if level == "outcome" else "intercept") if lone else f"{stems[level]}{k}"
                for k in range(sizes[level])
            ]
        if len(chosen) != sizes[level]:
            raise OptionError(f"names[{level!r}] must hold {sizes[level]} names; {len(chosen)} came.")
        out[level] = [str(name) for name in chosen]
    return out


def first_seen(patient: Any, design: Design) -> pd.Index[Any]:
    """Patients with usable rows, in the order of the user's rows."""
    ids = pd.Index(pd.unique(np.asarray(patient)))
    kept: pd.Index[Any] = ids[ids.isin(design.patient_ids)]
    return kept


def summarise(
    design: Design, optimum: Optimum, shape: Shape, method: Literal["REML", "ML"], order: pd.Index[Any]
) -> MixedFit:
    """Turn the optimum of the standardised problem into results in the user's units."""
    solved, names, scale = optimum.solved, design.names, design.scale
    n, p, q, r = len(design.outcome), len(design.fixed), shape.q, shape.r
    assert solved.zvz is not None and solved.zvx is not None and solved.zve is not None
    back = solve_triangular(design.fixed_root, np.eye(p)) if p else np.zeros((0, 0))
    beta = design.ordinary + scale * back @ solved.beta
    variance = solved.residual_variance * scale**2
    half = back @ solve_triangular(solved.root, np.eye(p)) if p else back
    cov = variance * half @ half.T
    factor, upper_factor = shape.factors(optimum.theta)
    turn = solve_triangular(design.patient_root, np.eye(q))
    spread = factor @ factor.T  # relative covariance in standardised units
    effects = scale * np.einsum("ab,bs->sa", turn @ spread, solved.zve)
    lost = np.einsum("ab,bcs,cd->sad", spread, solved.zvz, spread)
    posterior = variance * _sandwich(turn, spread - lost)
    pull = np.einsum("ab,bps,pk->sak", turn @ spread, solved.zvx, design.fixed_root)
    n_treated, n_therapists = len(design.therapist_of), len(design.therapist_ids)
    upper_effects, upper_posterior = np.zeros((n_therapists, r)), np.zeros((n_therapists, r, r))
    upper_pull, joint = np.zeros((n_therapists, r, p)), np.zeros((n_treated, q, r))
    upper_turn, upper_spread = np.zeros((r, r)), np.zeros((r, r))
    if r:
        assert solved.tvt is not None and solved.tvx is not None and solved.tve is not None and solved.zvt is not None
        upper_turn, upper_spread = solve_triangular(design.therapist_root, np.eye(r)), upper_factor @ upper_factor.T
        upper_effects = scale * np.einsum("ab,bs->sa", upper_turn @ upper_spread, solved.tve)
        lost = np.einsum("ab,bcs,cd->sad", upper_spread, solved.tvt, upper_spread)
        upper_posterior = variance * _sandwich(upper_turn, upper_spread - lost)
        upper_pull = np.einsum("ab,bps,pk->sak", upper_turn @ upper_spread, solved.tvx, design.fixed_root)
        joint = -variance * np.einsum("ab,bcs,dc->sad", turn @ spread, solved.zvt, upper_turn @ upper_spread)
    own = np.full(len(design.patient_ids), -1, dtype=np.intp)
    own[:n_treated] = design.therapist_of
    place = design.patient_ids.get_indexer(order)
    deviance = float(solved.deviance + (n - (p if method == "REML" else 0)) * 2 * np.log(scale))
    if method == "REML":
        deviance += 2 * float(np.log(np.abs(np.diag(design.fixed_root))).sum())
    fixed_index = pd.Index(names["fixed"], name="term")
    fixed = pd.DataFrame({"estimate": beta, "se": np.sqrt(np.diag(cov))}, index=fixed_index)
    return MixedFit(
        method=method,
        fixed=fixed,
        fixed_covariance=_square(cov, names["fixed"]),
        patient_covariance=_square(variance * turn @ spread @ turn.T, names["patient"]),
        therapist_covariance=_square(variance * upper_turn @ upper_spread @ upper_turn.T, names["therapist"]),
        residual_variance=variance,
        log_likelihood=-deviance / 2,
        deviance=deviance,
        n_observations=n,
        n_patients=len(design.patient_ids),
        n_therapists=n_therapists,
        n_parameters=p + len(optimum.theta) + 1,
        n_dropped=design.n_dropped,
        patient_effects=pd.DataFrame(effects[place], index=order, columns=names["patient"]),
        patient_effects_covariance=posterior[place],
        therapist_effects=pd.DataFrame(upper_effects, index=design.therapist_ids, columns=names["therapist"]),
        therapist_effects_covariance=upper_posterior,
        converged=optimum.converged,
        boundary=optimum.boundary,
        notes=_notes(design, optimum),
        n_evaluations=optimum.n_evaluations,
        link=Link(pull[place], upper_pull, joint[place[place < n_treated]], own[place]),
    )


def _sandwich(turn: Array, blocks: Array) -> Array:
    out: Array = np.einsum("ab,sbc,dc->sad", turn, blocks, turn)
    return out


def _square(matrix: Array, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=names, columns=names)


def _notes(design: Design, optimum: Optimum) -> tuple[str, ...]:
    notes = []
    if design.n_dropped:
        notes.append(f"{design.n_dropped} rows with a missing value were left out.")
    if optimum.boundary:
        notes.append(
            "A variance of patients or therapists was estimated as zero, or a correlation as one (boundary solution)."
        )
    if not optimum.converged:
        notes.append(
            f"The optimiser did not converge: one more step would lower the deviance by {optimum.decrement:.2g}; "
            "estimates are not to be relied on. Centre time, drop a random effect, or change correlated."
        )
    return tuple(notes)
