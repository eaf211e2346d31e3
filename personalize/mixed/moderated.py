"""Random slopes by moderators: the linear mixed model's answer to how much each patient's outcome follows a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import check_option
from features.panel import Panel
from personalize.mixed.intake import Intake, learn_intake
from personalize.mixed.result import MixedFit
from personalize.mixed.rows import (
    Clock,
    Method,
    acting,
    clock,
    fit_rows,
    needs_process,
    previous,
    split_by_patient,
)
from personalize.mixed.sums import Array


@dataclass(frozen=True)
class ModeratedSlopes:
    """Per-patient slopes of a fitted random-slope model.

    Attributes
    ----------
    fit : MixedFit
    slopes : DataFrame, index patient id (every patient of the panel); columns estimate, sd, baseline_part, own_part, n
        ``estimate``: outcome units per unit of the process, baseline part (average and moderators) plus the patient's
        own deviation (BLUP). ``sd``: its posterior standard deviation given the variances. ``n``: sessions used; a
        patient without any has own_part 0 and the full spread between patients in ``sd``.
    intake : Intake
        How moderators became numbers.
    slope : str
        Name of the process's within-person term.
    """

    fit: MixedFit
    slopes: pd.DataFrame
    intake: Intake
    slope: str

    def predict(self, patients: pd.DataFrame) -> pd.DataFrame:
        """Slopes of patients not seen yet, from the patients table alone; columns estimate, sd."""
        traits = self.intake.transform(patients)
        estimate, variance = _baseline_part(self.fit, self.slope, self.intake, traits)
        own = float(self.fit.patient_covariance.to_numpy()[-1, -1])
        return pd.DataFrame({"estimate": estimate, "sd": np.sqrt(variance + own)}, index=patients.index)


def moderated_slopes(
    panel: Panel,
    moderators: Sequence[str] | None = None,
    *,
    time: Clock = "log_session",
    lagged_outcome: Literal["none", "level", "within"] = "none",
    between: bool = True,
    correlated: bool = True,
    therapist: bool = True,
    method: Method = "REML",
) -> ModeratedSlopes:
    """Fit outcome ~ time + between + within * moderators (+ lagged outcome) + (1 + within | patient) + (1 | therapist).

    Parameters
    ----------
    panel : Panel
        Its timing says which rating belongs to which outcome, as in `within_between_model`.
    moderators : sequence of str, optional
        Columns of the patients table; all of them by default.
    time : {"log_session", "session", "log_time", "time"}
    lagged_outcome : {"none", "level", "within"}
        Add the patient's previous outcome, as it is or as its deviation from the person's mean.
    between : bool
        Add the person's mean of the process as a predictor of the level.
    correlated, therapist, method
        As in `growth_model`.

    Returns
    -------
    ModeratedSlopes

    Raises
    ------
    NotEnoughData
        As `fit_mixed`.
    OptionError
        When the panel names no alliance, or an option or a moderator is unknown.
    """
    process = needs_process(panel)
    check_option("lagged_outcome", lagged_outcome, ("none", "level", "within"))
    columns = list(panel.patients.columns) if moderators is None else list(moderators)
    intake = learn_intake(panel.patients, columns, table=panel.names["patients"])
    when, values, lagged = clock(panel, time), acting(panel, panel.alliance), previous(panel, panel.outcome)
    used = np.isfinite(panel.outcome) & np.isfinite(when) & np.isfinite(values)
    if lagged_outcome != "none":
        used &= np.isfinite(lagged)
    mean, within = split_by_patient(panel, values, used)
    slope = f"{process}_within"
    fixed: dict[str, Array] = {time: when}
    if between:
        fixed[f"{process}_between"] = mean
    if lagged_outcome == "level":
        fixed[f"{panel.columns.outcome}_previous"] = np.where(used, lagged, np.nan)
    elif lagged_outcome == "within":
        fixed[f"{panel.columns.outcome}_previous"] = split_by_patient(panel, lagged, used)[1]
    traits = intake.transform(panel.patients)
    rows = traits[panel.patient_index]
    fixed.update({name: rows[:, k] for k, name in enumerate(intake.terms)})
    fixed[slope] = within
    fixed.update({f"{slope}:{name}": rows[:, k] * within for k, name in enumerate(intake.terms)})
    fit = fit_rows(panel, fixed, [slope], therapist=therapist, method=method, correlated=correlated, notes=intake.notes)
    return ModeratedSlopes(fit, _slopes(panel, fit, intake, traits, slope, used), intake, slope)


def _slopes(
    panel: Panel, fit: MixedFit, intake: Intake, traits: Array, slope: str, used: NDArray[np.bool_]
) -> pd.DataFrame:
    """Baseline part, own part and their joint uncertainty for every patient of the panel."""
    baseline, variance = _baseline_part(fit, slope, intake, traits)
    sd = np.sqrt(variance + fit.patient_covariance.to_numpy()[-1, -1])
    own = np.zeros(panel.n_patients)
    place = panel.patient_ids.get_indexer(fit.patient_effects.index)
    random = np.zeros(fit.patient_effects.shape[1])
    random[-1] = 1.0
    own[place] = fit.patient_effects.to_numpy()[:, -1]
    sd[place] = fit.combine(_weights(fit, slope, intake, traits[place]), random)["sd"].to_numpy()
    n = np.bincount(panel.patient_index[used], minlength=panel.n_patients)
    out = {"estimate": baseline + own, "sd": sd, "baseline_part": baseline, "own_part": own, "n": n}
    return pd.DataFrame(out, index=panel.patient_ids)


def _weights(fit: MixedFit, slope: str, intake: Intake, traits: Array) -> Array:
    """What multiplies the fixed effects in the baseline part of each patient's slope."""
    terms = list(fit.fixed.index)
    out = np.zeros((len(traits), len(terms)))
    out[:, terms.index(slope)] = 1.0
    for k, name in enumerate(intake.terms):
        out[:, terms.index(f"{slope}:{name}")] = traits[:, k]
    return out


def _baseline_part(fit: MixedFit, slope: str, intake: Intake, traits: Array) -> tuple[Array, Array]:
    """The slope that average and moderators imply, and the variance of its estimate."""
    weights = _weights(fit, slope, intake, traits)
    covariance = fit.fixed_covariance.to_numpy()
    return weights @ fit.fixed["estimate"].to_numpy(), np.einsum("np,pk,nk->n", weights, covariance, weights)
