"""Minimise the profiled deviance over the relative factors, boundary included, and say whether it worked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from personalize.mixed.deviance import Solved, solve
from personalize.mixed.sums import Array, Sums

DECREMENT = 1e-6  # a Newton step that would lower the deviance by less than this: converged
DESCENT = 1e-3  # a derivative below minus this, into a variance held at zero, is worth a restart
RESTARTS = 5
NEWTON_STEPS = 10
SHRINK = (1.0, 0.5, 0.1, 0.01)
TOO_FAR = 1e12
OTHER_STARTS = (0.2, 3.0)  # multiples of the usual start
NOTHING = 1e-6  # a variance below this, in units of the residual's on a standardised design, counts as zero


@dataclass(frozen=True)
class Shape:
    """Which entries of the relative factors are free.

    Attributes
    ----------
    q, r : int
        Random effects a patient and a therapist.
    correlated : bool
        Lower triangles if true, diagonals if not.
    """

    q: int
    r: int
    correlated: bool

    @property
    def entries(self) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Row and column of every free entry, patients' then therapists'."""
        if self.correlated:
            return np.tril_indices(self.q), np.tril_indices(self.r)
        own, upper = np.arange(self.q), np.arange(self.r)
        return (own, own), (upper, upper)

    def factors(self, theta: Array) -> tuple[Array, Array]:
        """The two lower triangular factors."""
        own, upper = self.entries
        factor, therapist = np.zeros((self.q, self.q)), np.zeros((self.r, self.r))
        factor[own] = theta[: len(own[0])]
        therapist[upper] = theta[len(own[0]) :]
        return factor, therapist

    def theta(self, factor: Array, therapist: Array) -> Array:
        """The free entries of two factors."""
        own, upper = self.entries
        return np.concatenate([factor[own], therapist[upper]])

    def empty_columns(self, theta: Array) -> NDArray[np.bool_]:
        """Entries that belong to a column of a factor which is zero for all practical purposes."""
        small = [(np.abs(f) < 1e-4).all(axis=0) * np.ones(f.shape) for f in self.factors(theta)]
        out: NDArray[np.bool_] = self.theta(small[0], small[1]) > 0
        return out

    def start(self) -> Array:
        """Random effects half as spread as the residual for patients, a tenth for therapists (standardised designs)."""
        return self.theta(0.5 * np.eye(self.q), 0.2 * np.eye(self.r))


@dataclass(frozen=True)
class Optimum:
    """Where the optimiser stopped.

    Attributes
    ----------
    theta : array of shape (n_parameters,)
    solved : Solved
        With the detail the posterior needs.
    converged : bool
        The gradient vanishes on the free parameters, the curvature there is positive, and no variance that is held at
        zero would lower the deviance by leaving it.
    boundary : bool
        At least one relative covariance is singular.
    decrement : float
        By how much one more Newton step would lower the deviance.
    n_evaluations : int
    """

    theta: Array
    solved: Solved
    converged: bool
    boundary: bool
    decrement: float
    n_evaluations: int


def optimise(sums: Sums, shape: Shape, *, reml: bool, start: Array | None = None) -> Optimum:
    """Quasi-Newton with exact gradients from `Shape.start`, Newton polish, and restarts away from false boundaries.

    A variance of zero is always a stationary point of the deviance as a function of a standard deviation, so a
    vanishing gradient there proves nothing; the derivative with respect to the variance itself decides.
    """
    deviance = _Deviance(sums, shape, reml)
    # where residuals vanish the relative variances grow without end: a step that overflows is not taken
    with np.errstate(over="ignore"):
        first = _descend(deviance, shape.start() if start is None else start)
        found = [first]
        if first.boundary or not first.converged:
            # near a boundary the deviance may have several minima: look from elsewhere too, keep the lowest
            found += [_descend(deviance, scale * shape.start()) for scale in OTHER_STARTS]
    best = min(found, key=lambda end: (round(end.value, 7), not end.converged))
    solved = solve(sums, *shape.factors(best.theta), reml=reml, detail=2)
    return Optimum(best.theta, solved, best.converged, best.boundary, best.decrement, deviance.count)


class _Deviance:
    """The deviance and its gradient as a function of the entries, or of their squares; counts how often it is asked."""

    def __init__(self, sums: Sums, shape: Shape, reml: bool) -> None:
        self.sums, self.shape, self.reml, self.count = sums, shape, reml, 0

    def solve(self, theta: Array) -> Solved | None:
        """None so far out that rounding eats the fixed effects, or numbers overflow."""
        self.count += 1
        try:
            with np.errstate(over="raise"):
                return solve(self.sums, *self.shape.factors(theta), reml=self.reml, detail=1)
        except (np.linalg.LinAlgError, FloatingPointError):
            return None

    def entries(self, theta: Array) -> tuple[float, Array]:
        """As a function of the entries."""
        at = self.solve(theta)
        if at is None:
            return TOO_FAR, np.zeros(len(theta))
        factor, therapist = self.shape.factors(theta)
        own, upper = _scores(at)
        return at.deviance, 2 * self.shape.theta(own @ factor, upper @ therapist)

    def squares(self, squares: Array) -> tuple[float, Array]:
        """As a function of the squared entries; for diagonal factors, where these are the relative variances."""
        at = self.solve(np.sqrt(squares))
        if at is None:
            return TOO_FAR, np.zeros(len(squares))
        return at.deviance, self.shape.theta(*_scores(at))


def _scores(solved: Solved) -> tuple[Array, Array]:
    assert solved.patient_score is not None and solved.therapist_score is not None
    return solved.patient_score, solved.therapist_score


@dataclass(frozen=True)
class _End:
    """Where one descent ended."""

    theta: Array
    value: float
    converged: bool
    boundary: bool
    decrement: float


def _descend(deviance: _Deviance, theta: Array) -> _End:
    """Quasi-Newton, Newton polish, and again from beside a variance that was wrongly held at zero.

    The entries are unbounded: the sign of a column of a factor is arbitrary, and a bound on its diagonal makes minima
    that the model does not have (a zero there with the wrong sign below it).
    """
    shape = deviance.shape
    for _ in range(RESTARTS):
        found = minimize(deviance.entries, theta, jac=True, method="L-BFGS-B", options={"ftol": 1e-13, "gtol": 1e-4})
        theta, value, decrement, curved = _polish(deviance, np.asarray(found.x, dtype=float))
        if decrement >= DECREMENT and not shape.correlated:
            squares, value, decrement, curved = _polish_squares(deviance, theta**2)
            theta = np.sqrt(squares)
        escape = _escape(deviance, theta, value)
        if escape is None:
            break
        theta = escape
    fine = bool(curved and decrement < DECREMENT and escape is None)
    return _End(theta, value, fine, _singular(shape, theta), decrement)


def _polish(deviance: _Deviance, theta: Array) -> tuple[Array, float, float, bool]:
    """Newton steps on the entries of columns that are not zero; Hessian by differences of the exact gradient.

    Returns the entries, the deviance there, what one more step would gain, and whether the curvature is positive.
    """
    small = deviance.shape.empty_columns(theta)
    if small.any():
        held = np.where(small, 0.0, theta)
        if deviance.entries(held)[0] <= deviance.entries(theta)[0] + 1e-7:
            theta = held
        else:
            small[:] = False
    free = np.flatnonzero(~small)
    value, gradient = deviance.entries(theta)
    decrement, curved = 0.0, True
    for _ in range(NEWTON_STEPS if len(free) else 0):
        step, decrement, curved = _newton(deviance.entries, theta, gradient, free, relative=False)
        if decrement < DECREMENT * 1e-3 or not curved:
            break
        for shrink in SHRINK:
            trial = theta.copy()
            trial[free] -= shrink * step
            after, slope = deviance.entries(trial)
            if after < value:
                break
        else:
            break
        theta, value, gradient = trial, after, slope
    return theta, value, decrement, curved


def _polish_squares(deviance: _Deviance, squares: Array) -> tuple[Array, float, float, bool]:
    """Projected Newton steps on variances, where the deviance is nearly quadratic even if two columns all but coincide.

    A variance at zero stays there as long as the deviance would rise on leaving.
    """
    squares = np.where(squares < NOTHING**2, 0.0, squares)
    value, gradient = deviance.squares(squares)
    decrement, curved = 0.0, True
    for _ in range(NEWTON_STEPS):
        free = np.flatnonzero((squares > 0) | (gradient < -DESCENT))
        if not len(free):
            return squares, value, 0.0, True
        step, _, curved = _newton(deviance.squares, squares, gradient, free, relative=True)
        step = np.minimum(step, squares[free])
        decrement = abs(float(gradient[free] @ step)) / 2
        if decrement < DECREMENT * 1e-3 or not curved:
            break
        for shrink in SHRINK:
            trial = squares.copy()
            trial[free] = np.maximum(trial[free] - shrink * step, 0.0)
            after, slope = deviance.squares(trial)
            if after < value + 1e-11 * (1 + abs(value)):
                break
        else:
            break
        squares, value, gradient = trial, after, slope
    return squares, value, decrement, curved


def _newton(
    look: Callable[[Array], tuple[float, Array]],
    point: Array,
    gradient: Array,
    free: NDArray[np.intp],
    *,
    relative: bool,
) -> tuple[Array, float, bool]:
    """Newton step of the free parameters, half its gain to first order, and whether the curvature is positive."""
    hessian = np.empty((len(free), len(free)))
    for k, j in enumerate(free):
        size = 1e-4 * (max(point[j], 1e-4) if relative else max(1.0, abs(point[j])))
        up, down = point.copy(), point.copy()
        up[j] += size
        down[j] = max(down[j] - size, 0.0) if relative else down[j] - size
        hessian[k] = (look(up)[1][free] - look(down)[1][free]) / (up[j] - down[j])
    hessian = (hessian + hessian.T) / 2
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-8))
    scaled = scale[:, None] * hessian * scale
    curved = bool(np.linalg.eigvalsh(scaled)[0] > -1e-5)
    step = scale * (np.linalg.pinv(scaled, rcond=1e-9, hermitian=True) @ (scale * gradient[free]))
    return step, abs(float(gradient[free] @ step)) / 2, curved


def _escape(deviance: _Deviance, theta: Array, value: float) -> Array | None:
    """A point of lower deviance where some variance held at zero leaves it, or None where none does."""
    shape = deviance.shape
    factors = shape.factors(theta)
    at = deviance.solve(theta)
    if at is None:
        return None
    ways = [_ways_out(f, score, shape.correlated) for f, score in zip(factors, _scores(at), strict=True)]
    if not any(len(way) for way in ways):
        return None
    for size in (0.05, 0.01, 1e-3, 1e-4, 1e-5):
        moved: list[Array] = [
            np.linalg.cholesky(factor @ factor.T + size * way.T @ way + 1e-9 * np.eye(len(factor))).astype(float)
            for factor, way in zip(factors, ways, strict=True)
        ]
        start = shape.theta(moved[0], moved[1])
        there = deviance.solve(start)
        if there is not None and there.deviance < value - 1e-7:
            return start
    return None


def _ways_out(factor: Array, score: Array, correlated: bool) -> Array:
    """Directions without variance in which the deviance falls, one a row."""
    covariance = factor @ factor.T
    if not correlated:
        null = np.eye(len(covariance))[np.diag(covariance) < NOTHING]
        falls = np.einsum("ka,ab,kb->k", null, score, null) < -DESCENT
        alone: Array = null[falls]
        return alone
    values, vectors = np.linalg.eigh(covariance)
    null = vectors[:, values < NOTHING]
    slopes, turns = np.linalg.eigh(null.T @ score @ null)
    out: Array = np.asarray((null @ turns).T[slopes < -DESCENT])
    return out


def _singular(shape: Shape, theta: Array) -> bool:
    return any(
        bool((np.linalg.eigvalsh(factor @ factor.T) < NOTHING).any()) if len(factor) else False
        for factor in shape.factors(theta)
    )
