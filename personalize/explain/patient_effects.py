"""Effects of the patients of a panel with joint draws, whether the patients were in the fit or are new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from features.errors import NotFitted, PanelError
from features.panel import Panel

Floats = NDArray[np.float64]

MOST_DRAWN = 5_000_000  # effects drawn at a time: 1,000 draws of 5,000 patients
NEW = "not in the fit: from intake alone"
DRAWS = (200, 4000)  # fewest and most draws


@dataclass(frozen=True)
class PatientEffects:
    """Effects of the patients of a panel, in the panel's order.

    Attributes
    ----------
    table : DataFrame, index patient id
        ``effects_`` of the estimator; for new patients what intake alone says (shifts 0, no transitions).
    draws : array of shape (n_draws, n_patients)
        Joint posterior draws of the effects, outcome points per alliance point. NaN: nothing can be said.
    above : array of shape (n_patients,)
        Probability that the effect is above zero.
    persistence : array of shape (n_draws,)
        How much of an outcome deviation is carried to the next session, drawn jointly.
    memory : float
        Estimate of the persistence.
    new : bool array of shape (n_patients,)
        Patients the estimator has not seen.
    """

    table: pd.DataFrame
    draws: Floats
    above: Floats
    persistence: Floats
    memory: float
    new: NDArray[np.bool_]


def patient_effects(effect: Any, panel: Panel, *, random_state: int = 0) -> PatientEffects:
    """Look the panel's patients up in a fitted ``AllianceEffect``; new ones get what their intake predicts.

    Draws of new patients are normal around the prediction, with its standard deviation, and independent of the
    others' draws.

    Raises
    ------
    NotFitted
        When the estimator has not been fitted.
    PanelError
        When the panel's alliance column is another than the estimator's, or it has none.
    """
    if not hasattr(effect, "effects_"):
        raise NotFitted("AllianceEffect: call fit (or load) before explaining it.")
    if not panel.has_alliance:
        raise PanelError("the panel has no alliance column; name it with Columns(alliance=...) to explain its effect.")
    effects: pd.DataFrame = effect.effects_
    place = effects.index.get_indexer(panel.patient_ids)
    new = place < 0
    n_draws = int(np.clip(MOST_DRAWN // max(len(effects), 1), *DRAWS))
    drawn, persistence = effect.draws(n_draws, random_state)
    draws = np.full((len(persistence), panel.n_patients), np.nan)
    draws[:, ~new] = drawn[:, place[~new]]
    above = np.full(panel.n_patients, np.nan)
    above[~new] = effect.probability_above_zero()[place[~new]]
    table = effects.reindex(panel.patient_ids)
    if new.any():
        table, draws = _with_new(effect, panel, table, draws, new, random_state)
        above[new] = ndtr((table["estimate"] / table["sd"]).to_numpy(dtype=float)[new])
    return PatientEffects(table, draws, above, np.asarray(persistence), float(effect.persistence_["estimate"]), new)


def _with_new(
    effect: Any, panel: Panel, table: pd.DataFrame, draws: Floats, new: NDArray[np.bool_], random_state: int
) -> tuple[pd.DataFrame, Floats]:
    said = effect.predict(intake_with_therapist(panel, new))
    sd = said["sd"].to_numpy(dtype=float)
    estimate = said["estimate"].to_numpy(dtype=float)
    rng = np.random.default_rng([random_state, 1])
    draws[:, new] = estimate + sd * rng.standard_normal((len(draws), int(new.sum())))
    table = table.copy()
    known = {"estimate": estimate, "lower": said["lower"], "upper": said["upper"], "sd": sd}
    known |= {"baseline_estimate": estimate, "own_shift": 0.0, "similar_shift": 0.0}
    known |= {"own_reliability": 0.0, "n_transitions": 0}
    known |= {"n_sessions": panel.sessions_per_patient[new]}
    for name, values in known.items():
        if name in table.columns:
            table.loc[new, name] = np.asarray(values, dtype=float)
    table.loc[new, "reason"] = NEW
    return table, draws


def intake_with_therapist(panel: Panel, who: NDArray[np.bool_]) -> pd.DataFrame:
    """Intake of some patients with their therapist in a column, as ``AllianceEffect.predict`` takes it."""
    table = panel.patients[who].copy()
    column = panel.columns.therapist
    if column is not None and panel.n_therapists:
        own = panel.therapist_index[who]
        ids = panel.therapist_ids.to_numpy(dtype=object)
        table[column] = [ids[i] if i >= 0 else None for i in own]
    return table


def carried(persistence: Floats, sessions: int) -> Floats:
    """Σ_{k<sessions} ρ^k: how far a shift that is kept up accumulates in the outcome; shape of ``persistence``.

    Examples
    --------
    >>> carried(np.array([0.0, 0.5]), 3).tolist()
    [1.0, 1.75]
    """
    return np.asarray((np.asarray(persistence, dtype=float)[..., None] ** np.arange(sessions)).sum(axis=-1))
