"""Weights against drop-out: patients who were likely to have left, and stayed, stand for those who left.

A target after session t is seen only where the patient stayed until then. Its weight is the product, over the sessions
from landmark to target, of the marginal over the patient's own probability of going on (stabilised inverse-probability
weights: Robins, Rotnitzky & Zhao 1995, JASA 90, 106-121). It corrects for leaving that depends on what was observed,
not for what was not; a forecast of the last session needs no weight, it describes whenever treatment ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.landmarks import Landmarks, Targets
from personalize.trajectories.members.standard import center_and_scale, standardised

Floats = NDArray[np.float64]

RIDGE = 10.0  # patients' worth of pull towards no effect
SMALLEST, LARGEST = 0.1, 10.0  # weights are held between these
STEPS = 25


def staying_weights(landmarks: Landmarks, targets: Targets, inputs: NDArray[np.floating]) -> Floats:
    """Weight of each target, mean about 1, shape (n_targets,).

    Parameters
    ----------
    landmarks : Landmarks
        All landmarks of the panel (`landmarks.all_landmarks`).
    targets : Targets
    inputs : array of shape (n_landmarks, n_inputs)
        What the probability of going on may depend on; NaN is unknown.
    """
    panel = landmarks.panel
    ratio = np.zeros(len(landmarks))
    after = landmarks.seen >= 1
    if after.any():
        stays = (landmarks.seen < panel.sessions_per_patient[landmarks.patient])[after].astype(float)
        center, scale = center_and_scale(inputs[after])
        when = np.column_stack([np.log(landmarks.seen[after]), landmarks.seen[after] / 10.0])
        own = np.column_stack([standardised(inputs[after], center, scale), when])
        marginal = np.column_stack([np.ones(len(when)), when])
        ratio[after] = np.log(_probability(marginal, stays)) - np.log(_probability(own, stays))
    running = np.concatenate([[0.0], np.cumsum(ratio)])
    out = np.ones(len(targets))
    at = ~targets.last
    begin = targets.landmark[at]
    steps = panel.occasion[targets.row[at]] - landmarks.seen[begin]
    out[at] = np.exp(running[begin + steps + 1] - running[begin])
    return np.clip(out, SMALLEST, LARGEST)


def _probability(design: Floats, stays: Floats) -> Floats:
    """Probability of going on by ridge logistic regression (Newton's method), shape (n_rows,)."""
    pull = np.full(design.shape[1], RIDGE)
    pull[0] = 1e-6
    coefficients = np.zeros(design.shape[1])
    share = np.clip(stays.mean(), 1e-3, 1 - 1e-3)
    coefficients[0] = np.log(share / (1 - share))
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        slope = design.T @ (stays - p) - pull * coefficients
        curve = (design * (p * (1 - p))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(curve, slope)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-8:
            break
    return np.clip(1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30))), 1e-3, 1.0)
