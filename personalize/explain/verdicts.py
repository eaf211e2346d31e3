"""Verdicts in plain words, from probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SURE = 0.95  # probability of a benefit (or of a harm) that counts as shown
LIKELY = 0.75  # probability of a harm that is worth a warning
AMONG = 0.50  # probability of being among the patients with the largest benefit
FEWEST_TRANSITIONS = 3
HELPED, HARMED, FEW, UNCERTAIN = "helped, not shown to hinge", "may be harmed", "too little data", "uncertain"
ALIKE = "not shown to differ from the average"


def hinges(alliance: str) -> str:
    """Return the verdict on a patient whose outcome hinges on the process."""
    return f"hinges on {alliance}"


def meanings(alliance: str) -> dict[str, str]:
    """What each verdict means, in one sentence.

    Examples
    --------
    >>> meanings("alliance")["may be harmed"]
    'A worse outcome is at least 75 % probable.'
    """
    sure, likely = f"{100 * SURE:.0f} %", f"{100 * LIKELY:.0f} %"
    return {
        hinges(alliance): f"A benefit is at least {sure} probable, and the patient is more likely than not among those "
        "with the largest.",
        HELPED: f"A benefit is at least {sure} probable; the patient is not shown to be among those with the largest.",
        HARMED: f"A worse outcome is at least {likely} probable.",
        FEW: f"No other verdict holds, with fewer than {FEWEST_TRANSITIONS} usable steps from session to session.",
        UNCERTAIN: "No other verdict holds.",
        ALIKE: "Patients are not shown to differ: the estimates spread around the average as far as differences cannot "
        "be excluded, and nobody should be picked by them.",
    }


def verdicts(p_benefit: Floats, p_top: Floats, n_transitions: Floats, *, alliance: str, detected: bool) -> list[str]:
    """Say in words what is known of each patient.

    In this order: nothing estimated, or patients not shown to differ; "may be harmed" where a stronger alliance makes
    the outcome worse with a probability of at least `LIKELY`; "hinges on ..." where the benefit is shown (`SURE`) and
    the patient is more likely than not among those with the largest; "helped, not shown to hinge" where a benefit is
    shown; "too little data" with fewer than `FEWEST_TRANSITIONS` usable steps; else "uncertain".

    Parameters
    ----------
    p_benefit, p_top : array of shape (n_patients,)
        Probability that the benefit is above zero, and among the largest.
    n_transitions : array of shape (n_patients,)
    alliance : str
        What the process is called.
    detected : bool
        Whether patients are shown to differ.

    Examples
    --------
    >>> p, top, n = np.array([0.99, 0.1, 0.8]), np.array([0.7, 0.0, 0.2]), np.array([9.0, 9.0, 1.0])
    >>> verdicts(p, top, n, alliance="alliance", detected=True)
    ['hinges on alliance', 'may be harmed', 'too little data']
    """
    words = []
    for benefit, among, steps in zip(p_benefit, p_top, n_transitions, strict=True):
        few = not steps >= FEWEST_TRANSITIONS
        if np.isnan(benefit):
            words.append(FEW)
        elif not detected:
            words.append(FEW if few else ALIKE)
        elif 1 - benefit >= LIKELY:
            words.append(HARMED)
        elif benefit >= SURE and among > AMONG:
            words.append(hinges(alliance))
        elif benefit >= SURE:
            words.append(HELPED)
        else:
            words.append(FEW if few else UNCERTAIN)
    return words
