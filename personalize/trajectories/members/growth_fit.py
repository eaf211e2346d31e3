"""Fit of the growth member: variances by maximum likelihood, effects of intake and therapists by empirical Bayes.

The reference mixed model (`personalize.trajectories.mixed.GrowthModel`) estimates everything by exact REML. Here a fit
is repeated for every fold, so the variances come from a sample of patients, with intake drawn together in two columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from features.panel import Panel
from features.windows import Layout
from personalize.trajectories.clock import Clock
from personalize.trajectories.members.growth import Growth, Intake, remaining_intervals, time_basis, trend_of
from personalize.trajectories.members.kalman import Variances, course_filter
from personalize.trajectories.members.standard import center_and_scale, standardised

Floats = NDArray[np.float64]

MOST_PATIENTS = 1500  # behind the variances; all effects use everybody
SHRINK = (0.01, 0.03, 0.1, 0.3, 1.0)  # SD of an intake effect, in SDs of the outcome
THERAPIST_SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of the variance of patients' levels
FEWEST_THERAPISTS = 5
BLOCK = 50_000  # sessions filtered at a time


@dataclass(frozen=True)
class Block:
    """Session rows of some patients in step order, ready for the filter; ``patient`` counts within the panel."""

    outcome: Floats
    basis: Floats
    trend: Floats
    time: Floats
    seen: NDArray[np.bool_]
    patient: NDArray[np.intp]
    layout: Layout

    def innovations(self, columns: Floats, variances: Variances) -> tuple[Floats, float]:
        """Standardised one-step errors of columns, shape (n_columns, n_rows), and the sum of the log variances."""
        done = course_filter(columns, self.trend, self.time, self.seen, self.layout, variances, states=False)
        return done.innovation, done.log_variance

    @property
    def known(self) -> Floats:
        """Outcome, 0 where it is missing."""
        return np.where(self.seen, self.outcome, 0.0)


def blocks(panel: Panel, clock: Clock, linear: bool) -> Iterator[Block]:
    """Cut a panel into blocks of whole patients."""
    begin = 0
    while begin < panel.n_patients:
        end = int(np.searchsorted(panel.offsets, panel.offsets[begin] + BLOCK, side="right")) - 1
        end = min(max(end, begin + 1), panel.n_patients)
        rows = slice(int(panel.offsets[begin]), int(panel.offsets[end]))
        layout = Layout.of(panel.offsets[begin : end + 1] - panel.offsets[begin])
        order = layout.order
        time = ((panel.time[rows] - clock.first_time) / clock.interval)[order]
        elapsed = np.maximum(time, 0.0)
        outcome = panel.outcome[rows][order]
        yield Block(
            outcome,
            time_basis(elapsed),
            trend_of(elapsed, linear),
            time,
            np.isfinite(outcome),
            panel.patient_index[rows][order],
            layout,
        )
        begin = end


def fit_growth(
    panel: Panel,
    intake: Floats,
    clock: Clock,
    rng: np.random.Generator,
    *,
    start: Growth | None = None,
    of_therapist: NDArray[np.bool_] | None = None,
) -> Growth:
    """Fit the growth member.

    Parameters
    ----------
    panel : Panel
    intake : array of shape (n_patients, n_intake)
        Numbers; NaN is missing.
    clock : Clock
    start : Growth, optional
        A fit to nearly the same data, to begin from; its kind of trend is kept.
    of_therapist : bool array of shape (n_intake,), optional
        Which intake columns describe the therapist; none by default.
    """
    center, scale = center_and_scale(intake)
    design = standardised(intake, center, scale)[:, 1:]
    spread = float(np.nanstd(panel.outcome)) or 1.0
    some, some_design = panel, design
    if panel.n_patients > MOST_PATIENTS:
        who = np.sort(rng.permutation(panel.n_patients)[:MOST_PATIENTS])
        some, some_design = panel.subset(who), design[who]
    begin = _first_guess(spread) if start is None else start.variances
    tried = []
    for linear in (False, True) if start is None else (start.linear,):
        block = _joined(some, clock, linear)
        index = _index(block, effects_of(some, some_design, clock, linear, begin, spread), some_design)
        tried.append((*_maximise(block, index, begin, spread), linear))
    _, variances, linear = min(tried, key=lambda fit: fit[0])
    fixed, level, trend = effects_of(panel, design, clock, linear, variances, spread)
    therapists, effects = _therapist_effects(panel, clock, linear, variances, fixed, design @ level, design @ trend)
    elapsed = np.maximum((panel.time - clock.first_time) / clock.interval, 0.0)
    staff = np.zeros(intake.shape[1], dtype=bool) if of_therapist is None else of_therapist
    return Growth(
        variances,
        fixed,
        Intake(level, trend, center, scale, staff, therapists, effects),
        linear,
        clock.first_time,
        clock.interval,
        float(elapsed.max(initial=1.0)),
        remaining_intervals(panel, clock),
    )


def _joined(panel: Panel, clock: Clock, linear: bool) -> Block:
    """All of a small panel in one block."""
    layout = Layout.of(panel.offsets)
    time = ((panel.time - clock.first_time) / clock.interval)[layout.order]
    elapsed = np.maximum(time, 0.0)
    outcome = panel.outcome[layout.order]
    patient = panel.patient_index[layout.order]
    return Block(outcome, time_basis(elapsed), trend_of(elapsed, linear), time, np.isfinite(outcome), patient, layout)


def _first_guess(spread: float) -> Variances:
    return Variances(0.6 * spread, 0.2 * spread, -0.2, 0.35 * spread, 0.5, 0.35 * spread)


def _pack(v: Variances, spread: float) -> Floats:
    sds = np.log(np.maximum([v.level, v.trend, v.drift, v.noise], 1e-4 * spread) / spread)
    return np.array([*sds, np.arctanh(np.clip(v.correlation, -0.99, 0.99)), np.log(v.rate)])


def _unpack(p: Floats, spread: float) -> Variances:
    level, trend, drift, noise = (float(sd) for sd in np.exp(np.clip(p[:4], -9, 3)) * spread)
    return Variances(level, trend, float(np.tanh(p[4])), drift, float(np.exp(np.clip(p[5], -4, 3))), noise)


def _maximise(block: Block, index: Floats, start: Variances, spread: float) -> tuple[float, Variances]:
    """Minus twice the profile log likelihood at its minimum, and the variances there."""
    columns = np.vstack([block.known, block.basis.T, index])

    def loss(p: Floats) -> float:
        innovations, log_variance = block.innovations(columns, _unpack(p, spread))
        products = innovations @ innovations.T
        left = products[1:, 1:] + 1e-9 * np.eye(len(products) - 1)
        fit = products[0, 0] - products[0, 1:] @ np.linalg.solve(left, products[1:, 0])
        # a weak pull keeps components that the data cannot tell apart from running off
        return log_variance + float(fit) + 0.5 * float(((p[4:] - [0.0, np.log(0.5)]) ** 2).sum())

    found = minimize(loss, _pack(start, spread), method="L-BFGS-B", options={"maxiter": 60, "ftol": 1e-6, "eps": 1e-4})
    return float(found.fun), _unpack(found.x, spread)


def _index(block: Block, effects: tuple[Floats, Floats, Floats], design: Floats) -> Floats:
    """Intake as two columns, its guess of the level and of the trend, so that the search for variances stays small."""
    _, level, trend = effects
    return np.stack([(design @ level)[block.patient], (design @ trend)[block.patient] * block.trend])


def effects_of(
    panel: Panel, design: Floats, clock: Clock, linear: bool, variances: Variances, spread: float
) -> tuple[Floats, Floats, Floats]:
    """Fixed effects of time, and effects of intake on level and trend as posterior means.

    Intake effects are normal around zero; the SD of those on the level and of those on the trend are the ones with the
    largest marginal likelihood.
    """
    width = design.shape[1]
    products = None
    for block in blocks(panel, clock, linear):
        each = design[block.patient].T
        innovations, _ = block.innovations(np.vstack([block.known, block.basis.T, each, each * block.trend]), variances)
        own = innovations @ innovations.T
        products = own if products is None else products + own
    assert products is not None
    n_basis = len(products) - 1 - 2 * width
    right = products[1:, 0]
    # where the noise is next to nothing, rounding alone would make the products indefinite
    left = products[1:, 1:] + 1e-12 * products[1:, 1:].max(initial=0.0) * np.eye(len(right))
    best, chosen = np.inf, np.zeros(len(right))
    for main, cross in product(SHRINK, SHRINK) if width else [(1.0, 1.0)]:
        prior = np.concatenate([np.full(n_basis, 1e-8), np.full(width, main**-2), np.full(width, cross**-2)])
        prior[n_basis:] /= spread**2
        root = np.linalg.cholesky(left + np.diag(prior))
        solved = np.linalg.solve(root, right)
        score = 2 * np.log(np.diag(root)).sum() - np.log(prior).sum() - solved @ solved
        if score < best:
            best, chosen = float(score), np.linalg.solve(root.T, solved)
    return chosen[:n_basis], chosen[n_basis : n_basis + width], chosen[n_basis + width :]


def _therapist_effects(
    panel: Panel,
    clock: Clock,
    linear: bool,
    variances: Variances,
    fixed: Floats,
    level: Floats,
    trend: Floats,
) -> tuple[tuple[object, ...], Floats]:
    """Posterior mean of each therapist's effect on the level, for the share of variance with the largest likelihood."""
    several = np.bincount(panel.therapist_index[panel.therapist_index >= 0], minlength=1) > 1
    if several.sum() < FEWEST_THERAPISTS:
        return (), np.zeros(0)
    n = len(panel.therapist_ids)
    best, effects = np.inf, np.zeros(n)
    for share in THERAPIST_SHARES:
        within = Variances(**{**variances.to_dict(), "level": variances.level * np.sqrt(1 - share)})
        between = share * variances.level**2
        loss, precision, sums = 0.0, np.zeros(n), np.zeros(n)
        for block in blocks(panel, clock, linear):
            mean = block.basis @ fixed + level[block.patient] + block.trend * trend[block.patient]
            rest = np.where(block.seen, block.outcome - mean, 0.0)
            innovations, log_variance = block.innovations(np.vstack([rest, np.ones(len(rest))]), within)
            of = panel.therapist_index[block.patient]
            has = of >= 0
            precision += np.bincount(of[has], innovations[1, has] ** 2, minlength=n)
            sums += np.bincount(of[has], innovations[1, has] * innovations[0, has], minlength=n)
            loss += log_variance + float(innovations[0] @ innovations[0])
        shrink = between / (1 + between * precision)
        loss += float((np.log1p(between * precision) - shrink * sums**2).sum())
        if loss < best:
            best, effects = loss, shrink * sums
    return (tuple(panel.therapist_ids.tolist()), effects) if effects.any() else ((), np.zeros(0))
