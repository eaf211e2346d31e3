"""Everything before moderators: average effect, own slopes, and the two tests of heterogeneity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.errors import listed
from features.panel import Panel
from personalize.effects import checks
from personalize.effects.adjusted import Dynamics, Errors
from personalize.effects.average import FEWEST_STEPS, FEWEST_TO_CORRECT, Average, average_effect, combine_dynamics
from personalize.effects.encode import Encoding, learn_encoding
from personalize.effects.growth import slope_moments
from personalize.effects.heterogeneity import Test, test_any, test_baseline
from personalize.effects.intake import baseline_table, intake_matrix
from personalize.effects.own_slopes import OwnSlopes, mean_slope, moment_heterogeneity, own_slopes
from personalize.effects.slope_average import average_of_slopes
from personalize.effects.transitions import Floats, Ints, lay_grid, outcome_steps
from personalize.effects.within import projection


@dataclass(frozen=True)
class FirstStage:
    """What the later stages stand on.

    Attributes
    ----------
    encoding : Encoding
        How the moderators became ``x``, array of shape (n_patients, p).
    average : Average
    dynamics : Dynamics
        Both passes combined.
    slopes : OwnSlopes
        Centred at the average effect.
    weight : array of shape (n_known,)
        1 / (v_i + ω²) of patients with a slope; ``known`` says which of ``slopes`` they are.
    counts : int array of shape (n_patients,)
        Usable transitions.
    any_test, baseline_test : Test
    """

    encoding: Encoding
    x: Floats
    average: Average
    dynamics: Dynamics
    slopes: OwnSlopes
    known: NDArray[np.bool_]
    weight: Floats
    counts: Ints
    any_test: Test
    baseline_test: Test

    @property
    def who(self) -> Ints:
        """Rows of the panel's patients who have a slope."""
        return np.asarray(self.slopes.who[self.known])


def first_stage(
    panel: Panel,
    errors: Errors,
    *,
    lagged_outcome: bool = True,
    moderators: Sequence[str] | None = None,
    seed: int = 0,
    notes: list[str] | None = None,
) -> FirstStage:
    """Estimate the average effect and own slopes, and test whether patients differ.

    Parameters
    ----------
    panel : Panel
    errors : Errors
        Standard errors of measurement.
    lagged_outcome : bool
    moderators : sequence of str, optional
        Intake columns that may moderate the effect; all by default. All intake is partialled out either way.
    seed : int
    notes : list of str, optional
        Takes exclusions and warnings.
    """
    notes = [] if notes is None else notes
    intake = intake_matrix(panel)
    chosen = checks.named_moderators(baseline_table(panel), moderators)
    chosen = checks.without_therapists(panel, chosen, moderators, notes)
    encoding = learn_encoding(chosen)
    x = encoding.matrix(chosen)
    if moderators is not None:
        notes.append(f"Moderators were named beforehand: {listed(chosen.columns, 40)}; no other column was tried.")
    if encoding.left_out:
        notes.append(
            "Not used as moderators (constant, dates, known for too few patients, or no category with enough of them): "
            f"{listed(encoding.left_out, 40)}."
        )
    grid = lay_grid(panel)
    steps = outcome_steps(grid, panel.timing).at_least(FEWEST_STEPS)
    still = checks.transitions(panel, grid, steps, notes)
    clusters = checks.clusters(panel, notes)
    average = average_effect(grid, panel.timing, intake, clusters, errors, lagged_outcome=lagged_outcome)
    dynamics = combine_dynamics(average)
    checks.reliability(panel, average, errors)
    short = float(np.median(steps.counts[steps.counts > 0])) < FEWEST_TO_CORRECT
    checks.short(panel, average, short, notes)

    # own slopes with individual trends shrunken by their own variance; the less, the clearer it is that trends go with
    # the alliance (shrinkage takes them for unrelated to it)
    penalty = average.weight_kept / max(average.growth_variance / max(dynamics.noise, 1e-300), 1e-10)
    within = projection(steps, detrend=True, penalty=penalty)
    m = slope_moments(steps, intake, within, lagged_outcome=lagged_outcome)
    slopes = own_slopes(m, dynamics, errors, corrected=average.corrected)
    idle = still[slopes.who]
    slopes = replace(
        slopes, slope=np.where(idle, np.nan, slopes.slope), variance=np.where(idle, np.inf, slopes.variance)
    )
    average = average_of_slopes(average, m, slopes, dynamics, clusters)
    slopes = replace(slopes, slope=slopes.slope + average.estimate - mean_slope(slopes))

    known = np.isfinite(slopes.variance)
    weight = 1.0 / (slopes.variance[known] + moment_heterogeneity(slopes))
    who = slopes.who[known]
    return FirstStage(
        encoding=encoding,
        x=x,
        average=average,
        dynamics=dynamics,
        slopes=slopes,
        known=known,
        weight=weight,
        counts=steps.counts,
        any_test=test_any(steps, m, slopes, dynamics, seed=seed),
        baseline_test=test_baseline(x[who], slopes.slope[known], weight, panel.clusters[who], seed=seed),
    )
