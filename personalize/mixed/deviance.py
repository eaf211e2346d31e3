r"""Profiled deviance of the three-level linear mixed model, its exact gradient, and what the solution implies.

The model is y = X beta + T t_j + Z b_i + e, Var(b_i) = s2 L L', Var(t_j) = s2 K K', Var(e) = s2. Given the relative
factors L and K, beta and s2 have closed forms; what is left is a function of the few entries of L and K:

    deviance = log|V| + df (1 + log(2 pi r2 / df)) [+ log|X'V^-1 X| for REML],

with V the covariance in units of s2, r2 the generalised residual sum of squares and df = n (ML) or n - p (REML)
(Bates, Maechler, Bolker & Walker 2015, J. Stat. Softw. 67(1)). Both levels are eliminated by Cholesky
factors of q x q and r x r blocks, so the cost is linear in the number of patients and no row is touched.

With G = sum_i [Z'V^-1 Z - Z'V^-1 X (X'V^-1 X)^-1 X'V^-1 Z (REML only) - Z'V^-1 e e'V^-1 Z / s2] the derivative with
respect to the matrix L L' is G, hence 2 G L with respect to L; the therapists' likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from personalize.mixed.sums import Array, Sums


@dataclass(frozen=True)
class Solved:
    """The mixed-model equations solved at given relative factors.

    Attributes
    ----------
    deviance : float
        -2 log likelihood (ML) or REML criterion, residual variance and fixed effects profiled out.
    beta : array of shape (p,)
    residual_variance : float
    root : array of shape (p, p)
        Upper triangular R, R'R = X'V^-1 X in units of the residual variance.
    patient_score, therapist_score : arrays of shape (q, q) and (r, r), or None
        Derivatives of the deviance with respect to the relative covariances L L' and K K'.
    zvz : array of shape (q, q, n_patients), or None
        Z'V^-1 Z.
    zvx : array of shape (q, p, n_patients), or None
        Z'V^-1 X; kept only for the posterior.
    zve : array of shape (q, n_patients), or None
        Z'V^-1 (y - X beta).
    zvt : array of shape (q, r, n_treated), or None
        Z'V^-1 T, each patient with the therapist's other patients.
    tvt, tvx, tve : arrays of shape (r, r, n_therapists), (r, p, n_therapists), (r, n_therapists), or None
        The same for therapists.
    """

    deviance: float
    beta: Array
    residual_variance: float
    root: Array
    patient_score: Array | None = None
    therapist_score: Array | None = None
    zvz: Array | None = None
    zvx: Array | None = None
    zve: Array | None = None
    zvt: Array | None = None
    tvt: Array | None = None
    tvx: Array | None = None
    tve: Array | None = None


def solve(sums: Sums, factor: Array, therapist_factor: Array, *, reml: bool, detail: int = 0) -> Solved:
    """Evaluate the profiled deviance at relative factors L (q, q) and K (r, r).

    Parameters
    ----------
    sums : Sums
    factor, therapist_factor : lower triangular arrays of shape (q, q) and (r, r)
    reml : bool
    detail : {0, 1, 2}
        0: the deviance only; 1: its derivatives too; 2: all that the posterior of the random effects needs.

    Raises
    ------
    numpy.linalg.LinAlgError
        When X'V^-1 X is not positive definite.
    """
    r, p, treated = sums.r, sums.p, sums.n_treated
    # patients: M = I + L'Z'Z L = C C', half = C^-1 L'Z'[T X y], so that A'P B = A'B - half_A' half_B
    spread = _turn(sums.zz, factor)
    chol = _cholesky(_plus_identity(_left(factor.T, spread)))
    half = _forward(chol, _left(factor.T, sums.za))
    log_det = 2 * sum(float(np.log(chol[a, a]).sum()) for a in range(sums.q)) + sums.log_determinant
    flat = half[:, r:].transpose(1, 0, 2).reshape(p + 1, -1)
    cross = sums.xx - flat @ flat.T
    # therapists: the same elimination one level up, T'P[T X y] summed over the patients of each
    grouped = np.zeros((r, r + p + 1, 0))
    upper_chol = upper_half = np.zeros((r, 0, 0))
    if r and treated:
        inner = sums.ta - np.einsum("ars,acs->rcs", half[:, :r, :treated], half[:, :, :treated])
        grouped = np.add.reduceat(inner, sums.therapist_starts, axis=2)
        upper_spread = _turn(grouped[:, :r], therapist_factor)
        upper_chol = _cholesky(_plus_identity(_left(therapist_factor.T, upper_spread)))
        upper_half = _forward(upper_chol, _left(therapist_factor.T, grouped[:, r:]))
        log_det += 2 * sum(float(np.log(upper_chol[a, a]).sum()) for a in range(r))
        flat = upper_half.transpose(1, 0, 2).reshape(p + 1, -1)
        cross = cross - flat @ flat.T
    root = cholesky(cross[:p, :p]) if p else np.zeros((0, 0))
    projected = solve_triangular(root, cross[:p, p], trans="T") if p else np.zeros(0)
    beta = solve_triangular(root, projected) if p else np.zeros(0)
    rss = float(cross[p, p] - projected @ projected)
    df = sums.n_rows - (p if reml else 0)
    rss = max(rss, np.finfo(float).tiny)
    deviance = log_det + df * (1 + np.log(2 * np.pi * rss / df))
    if reml:
        deviance += 2 * float(np.log(np.diag(root)).sum())
    variance = rss / df
    if detail == 0:
        return Solved(deviance, beta, variance, root)

    # Z'P[T X y] = Z'[T X y] - Z'Z L M^-1 L'Z'[T X y], and Z'V^-1 from it by the therapists' elimination
    za = sums.za - _multiply(spread, _backward(chol, half))
    side = _forward(chol, spread.transpose(1, 0, 2))
    zvz = sums.zz - np.einsum("abs,acs->bcs", side, side)
    zt, zxy = za[:, :r, :treated], za[:, r:]
    tvt = tvxy = zvt = None
    therapist_score = np.zeros((r, r))
    # the columns that the scores need: X R^-1 (REML) and y - X beta
    turn = np.eye(p + 1)
    turn[:p, p] = -beta
    if reml or detail == 2:
        inverse = solve_triangular(root, np.eye(p)) if p else np.zeros((0, 0))
    if reml and detail == 1:
        turn[:p, :p] = inverse
    keep = slice(0 if reml or detail == 2 else p, p + 1)
    if r and treated:
        # W = K N^-1 K' with N = I + K'T'PT K; T'V^-1 A = T'PA - T'PT W T'PA
        solved = _left(therapist_factor, _backward(upper_chol, upper_half))
        own = _left(therapist_factor, _backward(upper_chol, _forward(upper_chol, _stack(therapist_factor.T, grouped))))
        tvt = grouped[:, :r] - _multiply(grouped[:, :r], _multiply(own, grouped[:, :r]))
        tvxy = _turn(grouped[:, r:] - _multiply(grouped[:, :r], solved), turn[:, keep])
        who = sums.therapist_of
        zvz[:, :, :treated] -= _multiply(_multiply(zt, own[:, :, who]), zt.transpose(1, 0, 2))
        turned = _turn(zxy, turn[:, keep])
        turned[:, :, :treated] -= _multiply(zt, _turn(solved, turn[:, keep])[:, :, who])
        therapist_score = _score(tvt, tvxy, variance, reml, inverse if reml and detail == 2 else None)
        if detail == 2:
            zvt = zt - _multiply(zt, _multiply(own, grouped[:, :r])[:, :, who])
    else:
        turned = _turn(zxy, turn[:, keep])
    score = _score(zvz, turned, variance, reml, inverse if reml and detail == 2 else None)
    if detail == 1:
        return Solved(deviance, beta, variance, root, score, therapist_score)
    return Solved(
        deviance,
        beta,
        variance,
        root,
        score,
        therapist_score,
        zvz=zvz,
        zvx=turned[:, :p],
        zve=turned[:, p],
        zvt=zvt,
        tvt=tvt,
        tvx=None if tvxy is None else tvxy[:, :p],
        tve=None if tvxy is None else tvxy[:, p],
    )


def _score(own: Array, turned: Array, variance: float, reml: bool, inverse: Array | None) -> Array:
    """G of the module's docstring; ``inverse`` is R^-1 where ``turned`` still holds X itself."""
    residual = turned[:, -1]
    out: Array = own.sum(axis=2) - residual @ residual.T / variance
    if reml and turned.shape[1] > 1:
        x = turned[:, :-1]
        if inverse is not None:
            x = _turn(x, inverse)
        flat = x.reshape(len(x), -1)
        out -= flat @ flat.T
    return out


# -- small blocks, one a patient, patients along the last axis ---------------------------------------------------------


def _left(matrix: Array, blocks: Array) -> Array:
    """``matrix @ block`` for one matrix and every block."""
    out: Array = (matrix @ blocks.reshape(len(blocks), -1)).reshape(len(matrix), *blocks.shape[1:])
    return out


def _turn(blocks: Array, matrix: Array) -> Array:
    """``block @ matrix`` for every block and one matrix."""
    out: Array = np.matmul(matrix.T, blocks)
    return out


def _stack(matrix: Array, like: Array) -> Array:
    """The same small matrix once for every block of ``like``."""
    return np.repeat(matrix[:, :, None], like.shape[2], axis=2)


def _multiply(left: Array, right: Array) -> Array:
    """Product of two blocks for every patient; a Python loop over the inner size only."""
    out = left[:, 0, None] * right[None, 0]
    for k in range(1, left.shape[1]):
        out += left[:, k, None] * right[None, k]
    return out


def _plus_identity(blocks: Array) -> Array:
    for a in range(len(blocks)):
        blocks[a, a] += 1
    return blocks


def _cholesky(blocks: Array) -> Array:
    """Lower Cholesky factor of every block (identity plus something non-negative: it exists)."""
    size = len(blocks)
    out = np.zeros_like(blocks)
    for a in range(size):
        for b in range(a + 1):
            rest = blocks[a, b].copy()
            for k in range(b):
                rest -= out[a, k] * out[b, k]
            out[a, b] = np.sqrt(rest) if a == b else rest / out[b, b]
    return out


def _forward(chol: Array, right: Array) -> Array:
    """C^-1 times ``right`` for every block."""
    out = np.empty_like(right)
    for a in range(len(chol)):
        rest = right[a]
        for b in range(a):
            rest = rest - chol[a, b] * out[b]
        out[a] = rest / chol[a, a]
    return out


def _backward(chol: Array, right: Array) -> Array:
    """C'^-1 times ``right`` for every block."""
    size = len(chol)
    out = np.empty_like(right)
    for a in reversed(range(size)):
        rest = right[a]
        for b in range(a + 1, size):
            rest = rest - chol[b, a] * out[b]
        out[a] = rest / chol[a, a]
    return out
