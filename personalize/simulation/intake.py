"""Intake tables of simulated patients and therapists, and the paths that start from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """A questionnaire: mean, SD, range and decimals of its score; loadings on distress and on detachment."""

    mean: float
    sd: float
    low: float
    high: float
    decimals: int
    distress: float
    detachment: float


SCALES: Mapping[str, Scale] = {
    "severity": Scale(1.6, 0.6, 0, 4, 2, 0.7, 0.0),
    "attachment_anxiety": Scale(3.8, 1.1, 1, 7, 2, 0.5, 0.0),
    "attachment_avoidance": Scale(3.3, 1.1, 1, 7, 2, 0.1, 0.6),
    "interpersonal_cold": Scale(1.4, 0.7, 0, 4, 2, 0.2, 0.6),
    "interpersonal_exploitable": Scale(1.7, 0.7, 0, 4, 2, 0.4, -0.2),
    "expectation": Scale(5.8, 1.4, 1, 9, 1, -0.1, -0.3),
    "life_satisfaction": Scale(18, 6, 5, 35, 0, -0.5, -0.2),
    "social_support": Scale(4.6, 1.1, 1, 7, 1, -0.1, -0.5),
    "age": Scale(38, 12, 18, 80, 0, 0.0, 0.0),
}
MAY_BE_MISSING = (*(name for name in SCALES if name not in ("age", "severity")), "education", "chronicity_years")

# Paths to trait alliance (alliance points) and to the outcome's level (outcome points), per SD of a questionnaire
# or therapist characteristic, and for "yes" against "no".
TRAIT_PATHS: Mapping[str, float] = {
    "attachment_avoidance": -0.2,
    "interpersonal_cold": -0.15,
    "expectation": 0.2,
    "social_support": 0.1,
    "warmth": 0.18,
}
OUTCOME_PATHS: Mapping[str, float] = {
    "attachment_avoidance": 0.5,
    "interpersonal_cold": 0.5,
    "expectation": -0.5,
    "social_support": -1.0,
    "personality_disorder": 3.0,
    "warmth": -0.6,
}
READINESS = ("expectation", "social_support")
THERAPIST_SCALES: Mapping[str, tuple[float, float]] = {"warmth": (5.0, 0.8), "experience_years": (9.0, 6.5)}


def patient_table(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw complete intake columns of ``n`` patients; two factors, distress and detachment, tie the scales together."""
    distress, detachment = rng.standard_normal((2, n))
    table: dict[str, object] = {}
    z: dict[str, Array] = {}
    for name, scale in SCALES.items():
        own = np.sqrt(1 - scale.distress**2 - scale.detachment**2)
        raw = scale.distress * distress + scale.detachment * detachment + own * rng.standard_normal(n)
        table[name] = np.clip(scale.mean + scale.sd * raw, scale.low, scale.high).round(scale.decimals)
        z[name] = raw
    table["gender"] = rng.choice(["woman", "man", "nonbinary"], n, p=[0.63, 0.35, 0.02])
    table["education"] = rng.choice(["primary", "secondary", "vocational", "university"], n, p=[0.1, 0.35, 0.25, 0.3])
    disorder = 0.45 * z["interpersonal_cold"] + 0.35 * z["attachment_anxiety"] + rng.standard_normal(n)
    table["personality_disorder"] = disorder > 0.7
    table["previous_treatments"] = rng.poisson(0.9 * np.exp(0.2 * z["severity"]))
    table["medication"] = rng.random(n) < 1 / (1 + np.exp(-(0.5 * z["severity"] - 0.6)))
    table["chronicity_years"] = np.clip(np.exp(1.2 + 0.8 * rng.standard_normal(n)), 0.1, 40).round(1)
    return pd.DataFrame(table)


def therapist_table(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw characteristics of ``n`` therapists."""
    mean, sd = THERAPIST_SCALES["warmth"]
    warmth = np.clip(mean + sd * rng.standard_normal(n), 1, 7).round(2)
    experience = np.clip(rng.gamma(2.0, 4.5, n), 0, 45).round(0)
    orientation = rng.choice(["cbt", "psychodynamic", "humanistic", "integrative"], n, p=[0.4, 0.25, 0.15, 0.2])
    gender = rng.choice(["woman", "man"], n, p=[0.7, 0.3])
    return pd.DataFrame(
        {"experience_years": experience, "orientation": orientation, "warmth": warmth, "therapist_gender": gender}
    )


def standardised(table: pd.DataFrame, name: str) -> Array:
    """A column in SDs from its population mean; yes/no columns as 1 and 0."""
    values = table[name].to_numpy(dtype=float)
    if name in SCALES:
        return np.asarray((values - SCALES[name].mean) / SCALES[name].sd)
    if name in THERAPIST_SCALES:
        mean, sd = THERAPIST_SCALES[name]
        return np.asarray((values - mean) / sd)
    return values


def path_sum(paths: Mapping[str, float], table: pd.DataFrame) -> Array:
    """Sum of the paths that start in this table, shape (n_rows,); yes/no columns centred at their population share."""
    total = np.zeros(len(table))
    for name, weight in paths.items():
        if name in table.columns:
            total += weight * (standardised(table, name) - _share(name))
    return total


def _share(name: str) -> float:
    return float(reference()[name].mean()) if name == "personality_disorder" else 0.0


def readiness(table: pd.DataFrame) -> Array:
    """Index with mean 0 and SD 1 of who moves early in both alliance and symptoms, shape (n_patients,)."""
    mean, sd = _readiness_moments()
    return np.asarray((_readiness_sum(table) - mean) / sd)


def readiness_weight(name: str) -> float:
    """What one SD of a questionnaire adds to the readiness index."""
    return 1 / _readiness_moments()[1] if name in READINESS else 0.0


def _readiness_sum(table: pd.DataFrame) -> Array:
    return np.asarray(sum(standardised(table, name) for name in READINESS))


@cache
def _readiness_moments() -> tuple[float, float]:
    values = _readiness_sum(reference())
    return float(values.mean()), float(values.std())


@cache
def reference() -> pd.DataFrame:
    """A large fixed population; what standardises indices, so that all clinics share the same equations."""
    return patient_table(100_000, np.random.default_rng(20_240_101))
