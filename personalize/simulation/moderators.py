"""What intake says about a patient's effect: a linear part, and one of thresholds and interactions."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalize.simulation.intake import reference, standardised

Array = NDArray[np.float64]
MODERATORS = (
    "attachment_anxiety",
    "attachment_avoidance",
    "interpersonal_cold",
    "interpersonal_exploitable",
    "expectation",
    "life_satisfaction",
    "personality_disorder",
)


def moderation(intake: pd.DataFrame, linear: float, nonlinear: float) -> Array:
    """What intake adds to the average effect, shape (n_patients,), outcome points per alliance point.

    ``linear * L(x) + nonlinear * N(x)``, L and N with mean 0 and SD 1 in the population of patients.
    """
    total = np.zeros(len(intake))
    if linear:
        mean, sd = _moments("linear")
        total += linear * (_linear(intake) - mean) / sd
    if nonlinear:
        mean, sd = _moments("nonlinear")
        total += nonlinear * (_nonlinear(intake) - mean) / sd
    return total


def _linear(intake: pd.DataFrame) -> Array:
    return np.asarray(
        -0.6 * standardised(intake, "attachment_anxiety")
        - 0.5 * standardised(intake, "interpersonal_cold")
        + 0.4 * standardised(intake, "expectation")
        + 0.3 * standardised(intake, "life_satisfaction")
        - 0.5 * standardised(intake, "personality_disorder")
    )


def _nonlinear(intake: pd.DataFrame) -> Array:
    anxiety = standardised(intake, "attachment_anxiety")
    cold = standardised(intake, "interpersonal_cold")
    exploitable = standardised(intake, "interpersonal_exploitable")
    disorder = standardised(intake, "personality_disorder")
    cold_and_anxious = (cold > 0.2) & (anxiety > 0.0)
    dissatisfied = standardised(intake, "life_satisfaction") < 0.0
    avoidant = standardised(intake, "attachment_avoidance") > 0.8
    return np.asarray(
        -1.2 * cold_and_anxious
        - 0.9 * disorder * dissatisfied
        + 0.9 * avoidant
        + 0.25 * anxiety * standardised(intake, "expectation")
        - 0.5 * (np.abs(exploitable) > 1.0)
    )


@cache
def _moments(kind: str) -> tuple[float, float]:
    values = _linear(reference()) if kind == "linear" else _nonlinear(reference())
    return float(values.mean()), float(values.std())
