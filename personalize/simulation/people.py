"""The people of a simulated clinic: who they are, who treats whom, and every constant of their courses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalize.simulation.intake import (
    OUTCOME_PATHS,
    TRAIT_PATHS,
    path_sum,
    patient_table,
    readiness,
    standardised,
    therapist_table,
)
from personalize.simulation.moderators import moderation
from personalize.simulation.options import ClinicOptions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class People:
    """Patients and therapists; arrays of shape (n_patients,) unless they start with ``staff``."""

    intake: pd.DataFrame  # complete, without identifiers
    staff: pd.DataFrame
    therapist: NDArray[np.intp]  # row of ``staff``
    tau: Array
    random_effect: Array
    staff_effect: Array  # shape (n_therapists,), as the next two
    staff_alliance: Array
    staff_outcome: Array
    trait: Array
    trait_expected: Array
    level: Array
    gain: Array
    rise: Array
    noise_sd: Array

    @property
    def effect(self) -> Array:
        """Effect of state-like alliance in the middle of treatment, outcome points per alliance point."""
        return np.asarray(self.tau + self.staff_effect[self.therapist] + self.random_effect)


def draw_people(
    o: ClinicOptions, n_patients: int, patients_per_therapist: int, rng: Mapping[str, np.random.Generator]
) -> People:
    """Draw patients in therapists; each part from its own stream, so that switching one off leaves the others alone."""
    n_therapists = -(-n_patients // patients_per_therapist)
    intake, staff = patient_table(n_patients, rng["intake"]), therapist_table(n_therapists, rng["staff"])
    own = _caseloads(n_patients, n_therapists, o.caseload_spread, rng["caseload"])
    own_staff = staff.iloc[own].reset_index(drop=True)

    by_intake = path_sum(TRAIT_PATHS, intake) + path_sum(TRAIT_PATHS, own_staff)
    expected = o.alliance_mean + o.baseline_to_trait * by_intake
    residual = rng["traits"].standard_normal(n_patients)
    staff_alliance = o.therapist_alliance_sd * rng["staff_parts"].standard_normal(n_therapists)
    trait = expected + staff_alliance[own] + o.trait_sd * residual

    r = o.trait_level_correlation
    own_level = r * residual + np.sqrt(1 - r**2) * rng["levels"].standard_normal(n_patients)
    staff_outcome = o.therapist_outcome_sd * rng["staff_parts"].standard_normal(n_therapists)
    direct = path_sum(OUTCOME_PATHS, intake) + path_sum(OUTCOME_PATHS, own_staff)
    level = (
        o.outcome_mean
        + o.severity_to_level * standardised(intake, "severity")
        + o.baseline_to_outcome * direct
        + o.trait_to_outcome * (trait - o.alliance_mean)
        + staff_outcome[own]
        + o.level_sd * own_level
    )
    ready = readiness(intake)
    spread = o.noise_spread  # the mean square stays noise_sd²
    growth = o.growth_sd * rng["growth"].standard_normal(n_patients)
    tau = o.average_effect + moderation(intake, o.linear_moderators, o.nonlinear_moderators)
    own_effect = o.patient_effect_sd * rng["effects"].standard_normal(n_patients)
    staff_effect = o.therapist_effect_sd * rng["staff_parts"].standard_normal(n_therapists)
    effect = tau + staff_effect[own] + own_effect
    away = effect - effect.mean()
    tied = o.noise_effect_correlation if away.std() > 1e-12 else 0.0  # one effect for all correlates with nothing
    swing = np.sqrt(1 - tied**2) * rng["noise_levels"].standard_normal(n_patients)
    swing += tied * away / max(away.std(), 1e-12)
    return People(
        intake=intake,
        staff=staff,
        therapist=own,
        tau=tau,
        random_effect=own_effect,
        staff_effect=staff_effect,
        staff_alliance=staff_alliance,
        staff_outcome=staff_outcome,
        trait=trait,
        trait_expected=expected,
        level=level,
        gain=o.symptom_gain + o.symptom_gain_baseline * ready + growth,
        rise=o.alliance_rise + o.alliance_rise_baseline * ready,
        noise_sd=o.noise_sd * np.exp(spread * swing - spread**2),
    )


def _caseloads(n: int, n_therapists: int, spread: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Therapist of each patient, shape (n,); every therapist has at least one."""
    if spread == 0:
        return np.asarray(rng.permutation(np.arange(n) % n_therapists), dtype=np.intp)
    weight = rng.gamma(1 / spread**2, spread**2, n_therapists)
    drawn = rng.choice(n_therapists, n - n_therapists, p=weight / weight.sum())
    return np.asarray(rng.permutation(np.concatenate([np.arange(n_therapists), drawn])), dtype=np.intp)
