"""The estimator's results as tidy tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from features.panel import Panel
from personalize.effects.adjusted import BETA
from personalize.effects.average import Average
from personalize.effects.heterogeneity import Test
from personalize.effects.own_slopes import OwnSlopes, largest_heterogeneity
from personalize.effects.posterior import Posterior
from personalize.effects.shrinkage import Patients
from personalize.effects.transitions import Floats, Ints

if TYPE_CHECKING:
    from personalize.effects.alliance_effect import AllianceEffect


def average_table(average: Average, slopes: OwnSlopes, panel: Panel, level: float) -> pd.Series:
    """Average effect with its interval, corrected and uncorrected, and its robustness to confounding."""
    kept = average.kept
    n_clusters = int(np.any(kept.influence != 0, axis=1).sum())
    freedom = max(n_clusters - 1, 1)
    q = float(student.ppf(0.5 + level / 2, freedom))
    se = float(np.sqrt(average.variance))
    naive = float(kept.dynamics.uncorrected[BETA])
    naive_se = float(np.sqrt(kept.dynamics.uncorrected_covariance[BETA, BETA]))
    partial = robustness(average, slopes)
    return pd.Series(
        {
            "estimate": average.estimate,
            "lower": average.estimate - q * se,
            "upper": average.estimate + q * se,
            "se": se,
            "p_value": float(2 * student.sf(abs(average.estimate) / se, freedom)) if se > 0 else np.nan,
            "uncorrected": naive,
            "uncorrected_lower": naive - q * naive_se,
            "uncorrected_upper": naive + q * naive_se,
            "trends_kept": float(kept.pair[1]),
            "trends_removed": float(average.removed.pair[1]) if average.removed is not None else np.nan,
            "weight_trends_kept": average.weight_kept,
            "corrected": average.corrected,
            "alliance_reliability_within": slopes.reliability,
            "partial_r2": partial[0],
            "robustness_value": partial[1],
            "level": level,
            "n_patients": len(kept.moments.within.who),
            "n_clusters": n_clusters,
            "n_transitions": len(kept.moments.within.group),
        },
        dtype=object,
    ).infer_objects()


def robustness(average: Average, slopes: OwnSlopes) -> tuple[float, float]:
    """Partial R² of alliance with the next outcome, and the robustness value for an effect of zero.

    RV = ½(√(f⁴ + 4f²) − f²), f² = R² / (1 − R²): a confounder would have to explain this share of what is left of both
    alliance and next outcome to bring the average to zero (Cinelli & Hazlett 2020, J. R. Statist. Soc. B 82, 39).
    """
    m = average.kept.moments
    v = np.array([-average.pair[0], -average.estimate, 1.0])
    left = float(np.einsum("i,kij,j->", v, m.cross, v))
    explained = average.estimate**2 * float(m.cross[:, BETA, BETA].sum())
    f2 = explained / max(left, 1e-300)
    # √(f⁴ + 4f²) − f² without the difference of two large numbers
    return f2 / (1 + f2), float(2.0 / (np.sqrt(1 + 4 / max(f2, 1e-300)) + 1)) if f2 > 0 else 0.0


def heterogeneity_table(
    any_test: Test, base_test: Test, slopes: OwnSlopes, posterior: Posterior, patients: Patients, level: float
) -> pd.Series:
    """Both tests, the standard deviations of effects, and whether patients may be ranked (Holm over the two tests)."""
    p = np.array([any_test.p_value, base_test.p_value])
    known = p[np.isfinite(p)]
    detected = bool(known.size and known.min() * known.size < level)
    sd_baseline = float(posterior.gamma[1] * patients.tau.std())
    sd_noise = float(abs(posterior.noise_slope) * patients.noise.std())
    return pd.Series(
        {
            "statistic": any_test.statistic,
            "p_value": any_test.p_value,
            "baseline_statistic": base_test.statistic,
            "baseline_p_value": base_test.p_value,
            "detected": detected,
            "sd_total": float(np.sqrt(sd_baseline**2 + sd_noise**2 + posterior.omega**2 + posterior.psi**2)),
            "sd_not_excluded": largest_heterogeneity(slopes),
            "sd_baseline": sd_baseline,
            "sd_therapist": posterior.psi,
            "sd_patient": posterior.omega,
            "baseline_slope": float(posterior.gamma[1]),
            "noise_slope": posterior.noise_slope,
            "n_patients": any_test.n,
        },
        dtype=object,
    ).infer_objects()


def effects_table(
    effect: AllianceEffect,
    panel: Panel,
    n_transitions: Ints,
    quantile: Callable[[Any, float], Floats],
    p_top: Floats,
) -> pd.DataFrame:
    """One row a patient: effect, interval, and where it comes from."""
    posterior: Posterior = effect.posterior_
    v = effect.own_variance_
    tail = (1 - effect.level) / 2
    signal = posterior.omega**2
    reliability = np.where(np.isfinite(v), signal / (signal + np.where(np.isfinite(v), v, 1.0)), 0.0)
    reason = np.full(panel.n_patients, "", dtype=object)
    reason[~np.isfinite(v)] = f"constant {panel.columns.alliance}: baseline only"
    reason[n_transitions == 0] = "fewer than 3 usable consecutive sessions: baseline only"
    return pd.DataFrame(
        {
            "estimate": posterior.mean,
            "lower": quantile(posterior.components, tail),
            "upper": quantile(posterior.components, 1 - tail),
            "sd": posterior.sd,
            "own_reliability": reliability,
            "n_sessions": panel.sessions_per_patient,
            "n_transitions": n_transitions,
            "baseline_estimate": posterior.baseline,
            "own_shift": posterior.mean - posterior.similar_shift - posterior.baseline,
            "similar_shift": posterior.similar_shift,
            "own_slope": effect.own_slope_,
            "p_top_fifth": p_top,
            "reason": reason,
        },
        index=panel.patient_ids,
    )
