"""One cell of the recovery study: one estimator on one simulated clinic, held against the truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from experiments.checkpoint import Row
from experiments.peers import PEERS, Floats, PatientEffects
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.posterior import Posterior, mixture_quantile
from personalize.effects.shrinkage import shrink
from personalize.simulate import PRESETS, SimulatedClinic, simulate_clinic
from personalize.simulation.moderators import MODERATORS

OURS, CONSTANT = "personalize", "average for everybody"
NAMED, ORACLE = "personalize, moderators named beforehand", "personalize given the true τ(x)"
YARDSTICKS = (NAMED, ORACLE, CONSTANT)  # ours told more, and told nothing: no peers
SAME = 1e-9  # SDs below this are rounding: all patients are alike, or are estimated to be


def one_cell(preset: str, patients: int, sessions: int, seed: int, estimator: str) -> list[Row]:
    """Estimate and score; our own cell also has its yardsticks.

    Returns
    -------
    list of dict
        One row an estimator: what `score` gives and seconds of one core.
    """
    clinic = simulate_clinic(preset, n_patients=patients, n_sessions=sessions, random_state=seed)
    began = time.perf_counter()
    if estimator != OURS:
        found = PEERS[estimator](clinic.panel)
        seconds = time.perf_counter() - began
        return [{**score(found, clinic), "seconds": seconds}]
    effect = fitted(preset, clinic, seed)
    seconds = time.perf_counter() - began
    named = fitted(preset, clinic, seed, moderators=list(MODERATORS))
    flat = PatientEffects(np.full(clinic.panel.n_patients, effect.average_["estimate"]))
    return [
        {**score(estimates(effect), clinic), **average_and_tests(effect, clinic), "seconds": seconds},
        {"estimator": NAMED, **score(estimates(named), clinic)},
        {"estimator": ORACLE, **score(oracle(effect, clinic), clinic)},
        {"estimator": CONSTANT, **score(flat, clinic)},
    ]


def fitted(preset: str, clinic: SimulatedClinic, seed: int, moderators: Sequence[str] | None = None) -> AllianceEffect:
    """Fit the effect, told the errors of measurement of the preset: they are known of a measure, and no secret."""
    sems = PRESETS[preset].alliance_sem or None, PRESETS[preset].outcome_sem or None
    effect = AllianceEffect(alliance_sem=sems[0], outcome_sem=sems[1], moderators=moderators, random_state=seed)
    return effect.fit(clinic.panel)


def estimates(effect: AllianceEffect) -> PatientEffects:
    """Estimates and limits of a fitted effect."""
    return PatientEffects(*(effect.effects_[c].to_numpy() for c in ("estimate", "lower", "upper")))


def score(guessed: PatientEffects, clinic: SimulatedClinic) -> dict[str, float]:
    """Hold one set of per-patient estimates against the truth."""
    truth = clinic.truth.patients["effect"].to_numpy()
    guess = guessed.estimate
    k = max(len(truth) // 5, 1)
    top, best = np.argsort(guess, kind="stable")[:k], np.argsort(truth, kind="stable")[:k]
    ordered = truth.std() > SAME and guess.std() > SAME
    gain = float((truth[top].mean() - truth.mean()) / (truth[best].mean() - truth.mean())) if ordered else np.nan
    out = {
        "rmse": float(np.sqrt(np.mean((guess - truth) ** 2))),
        "rank_correlation": float(pd.Series(guess).corr(pd.Series(truth), method="spearman")) if ordered else np.nan,
        "top_fifth_gain": gain,
    }
    if guessed.lower is not None and guessed.upper is not None:
        inside = (guessed.lower <= truth) & (truth <= guessed.upper)
        counts = clinic.panel.sessions_per_patient
        out |= {
            "coverage": float(inside.mean()),
            "coverage_top_fifth": float(inside[top].mean()),
            "coverage_few_sessions": float(inside[np.argsort(counts, kind="stable")[:k]].mean()),
            "width": float(np.mean(guessed.upper - guessed.lower)),
        }
    return out


def average_and_tests(effect: AllianceEffect, clinic: SimulatedClinic) -> dict[str, float]:
    """What else an effect says that has a truth: the average, and whether patients differ."""
    average, test, truth = effect.average_, effect.heterogeneity_, clinic.truth.average_effect
    width = average["upper"] - average["lower"]
    return {
        "average_error": average["estimate"] - truth,
        "average_error_uncorrected": average["uncorrected"] - truth,
        "average_covered": float(average["lower"] <= truth <= average["upper"]),
        "average_width": width,
        "ranked": float(effect.effects_["p_top_fifth"].notna().any()),
        # what a patient's interval may be wide: the average's own, and differences that the data do not exclude
        "width_not_excluded": 1.5 * width + 2 * 1.645 * test["sd_not_excluded"],
    }


def shrunken(effect: AllianceEffect, tau: Floats) -> Posterior:
    """Posterior of the fit's patients under its own priors, had intake predicted ``tau``, shape (n_patients,)."""
    return shrink(
        replace(effect.patients_, tau=tau),
        noise_to_alliance=effect._noise_to_alliance,
        average_variance=float(effect.average_covariance_[1, 1]),
    )


def oracle(effect: AllianceEffect, clinic: SimulatedClinic) -> PatientEffects:
    """Give the same shrinkage the true baseline part of each effect: the best that moderators could do."""
    tau = clinic.truth.patients["tau"].to_numpy()
    return limited(shrunken(effect, tau - tau.mean()))


def limited(posterior: Posterior) -> PatientEffects:
    """Estimates and 90 % limits of a posterior."""
    return PatientEffects(posterior.mean, *(mixture_quantile(posterior.components, q) for q in (0.05, 0.95)))
