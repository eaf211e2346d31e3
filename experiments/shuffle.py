"""The placebo of every within-patient question: each patient's own ratings, in another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from personalize.effects.transitions import Grid


def shuffled_within(grid: Grid, rng: np.random.Generator) -> Grid:
    """Put each patient's observed alliance ratings in random order; what is missing stays missing.

    Given the data, a shuffled rating has the same expectation at every session, so it cannot move the next outcome.
    """
    known = np.isfinite(grid.alliance)
    places = np.argsort(~known, axis=1, kind="stable")  # observed sessions first, in order
    order = np.argsort(np.where(known, rng.random(known.shape), np.inf), axis=1, kind="stable")
    drawn = np.full_like(grid.alliance, np.nan)
    np.put_along_axis(drawn, places, np.take_along_axis(grid.alliance, order, axis=1), axis=1)
    return replace(grid, alliance=drawn)
