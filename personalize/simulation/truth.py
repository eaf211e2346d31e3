"""What the simulator knows and no estimator may see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.panel import Panel
from personalize.simulation.course import Course
from personalize.simulation.intake import (
    OUTCOME_PATHS,
    SCALES,
    THERAPIST_SCALES,
    TRAIT_PATHS,
    readiness_weight,
)
from personalize.simulation.options import ClinicOptions
from personalize.simulation.people import People
from personalize.simulation.ratings import Ratings


@dataclass(frozen=True)
class Truth:
    """The truth behind a simulated clinic.

    Parameters
    ----------
    patients : DataFrame, index patient id, in the order of ``panel.patients``
        ``effect``, outcome points per alliance point (with a phase change the patient's average over the attended
        sessions); its parts ``tau`` (average plus what intake says), ``therapist_part`` and ``random_part``, which add
        up to it where there is no phase change; ``noise_sd``, of the patient's own session noise; ``trait_alliance``,
        the true level at the first session, and ``trait_expected``, what intake and therapist characteristics say of
        it; ``alliance_rise``, ``level`` and ``gain``, the constants of the trends; ``planned_sessions``,
        ``attended_sessions``, ``dropped_out``.
    sessions : DataFrame, one row a row of ``panel.sessions``, in the same order
        ``patient_id``, ``session``; ``alliance`` and ``outcome`` free of measurement error and of the scale's ends;
        ``trait``, ``rise`` and ``state``, which add up to ``alliance``; ``course``, the outcome's level minus the gain
        so far; ``expected_outcome``, the outcome had alliance kept to its expected course and no noise come; ``effect``
        at that session.
    therapists : DataFrame, index therapist id
        Random parts ``effect_part`` and ``outcome_part`` (outcome points), ``alliance_part`` (alliance points), and
        ``n_patients``.
    mediation : DataFrame, index predictor
        ``level`` (patient or therapist); ``unit``, the step of the raw column that the paths are stated for (one
        population SD, or yes against no); ``trait_path``, alliance points; ``outcome_path``, outcome points per point
        of trait alliance; ``indirect``, their product, the same at every session; ``direct`` and ``total``, outcome
        points at the first session; ``direct_growth``, what trends add to the direct path by the twelfth session (in
        proportion to log session; effects through the rise of alliance, if that is on, come on top).
    average_effect : float
        Mean of ``patients["effect"]``.
    persistence, feedback : float
        Coefficients of the two equations.
    options : ClinicOptions
        What was simulated.
    """

    patients: pd.DataFrame
    sessions: pd.DataFrame
    therapists: pd.DataFrame
    mediation: pd.DataFrame
    average_effect: float
    persistence: float
    feedback: float
    options: ClinicOptions


def collect_truth(o: ClinicOptions, people: People, course: Course, ratings: Ratings, panel: Panel) -> Truth:
    """Arrange what was drawn in the order of the panel."""
    own, attended = people.therapist, ratings.attended
    so_far = np.cumsum(course.phase) / np.arange(1, len(course.phase) + 1)
    patients = pd.DataFrame(
        {
            "effect": people.effect + so_far[attended - 1],
            "tau": people.tau,
            "therapist_part": people.staff_effect[own],
            "random_part": people.random_effect,
            "noise_sd": people.noise_sd,
            "trait_alliance": people.trait,
            "trait_expected": people.trait_expected,
            "alliance_rise": people.rise,
            "level": people.level,
            "gain": people.gain,
            "planned_sessions": ratings.planned,
            "attended_sessions": attended,
            "dropped_out": attended < ratings.planned,
        },
        index=panel.patient_ids,
    )
    who, when = np.nonzero(ratings.on_file.T)
    sessions = pd.DataFrame(
        {
            "patient_id": panel.sessions["patient_id"],
            "session": panel.session,
            "alliance": course.alliance[when, who],
            "trait": people.trait[who],
            "rise": course.rise[when, who],
            "state": course.state[when, who],
            "outcome": course.outcome[when, who],
            "course": course.course[when, who],
            "expected_outcome": course.expected_outcome[when, who],
            "effect": people.effect[who] + course.phase[when],
        }
    )
    therapists = pd.DataFrame(
        {
            "effect_part": people.staff_effect,
            "outcome_part": people.staff_outcome,
            "alliance_part": people.staff_alliance,
            "n_patients": np.bincount(own, minlength=len(people.staff)),
        },
        index=panel.therapist_ids,
    )
    average = float(patients["effect"].mean())
    return Truth(patients, sessions, therapists, mediation_paths(o), average, o.persistence, o.feedback, o)


def mediation_paths(o: ClinicOptions) -> pd.DataFrame:
    """Paths from each predictor through trait alliance to the outcome, and past it; see `Truth`."""
    rows = []
    for name in dict.fromkeys(["severity", *TRAIT_PATHS, *OUTCOME_PATHS]):
        staff = name in THERAPIST_SCALES
        a = o.baseline_to_trait * TRAIT_PATHS.get(name, 0.0)
        direct = o.baseline_to_outcome * OUTCOME_PATHS.get(name, 0.0)
        if name == "severity":
            direct += o.severity_to_level
        indirect = a * o.trait_to_outcome
        rows.append(
            {
                "predictor": name,
                "level": "therapist" if staff else "patient",
                "unit": THERAPIST_SCALES[name][1] if staff else SCALES[name].sd if name in SCALES else 1.0,
                "trait_path": a,
                "outcome_path": o.trait_to_outcome,
                "indirect": indirect,
                "direct": direct,
                "total": indirect + direct,
                "direct_growth": 0.0 - o.symptom_gain_baseline * readiness_weight(name),
            }
        )
    return pd.DataFrame(rows).set_index("predictor")
