"""Who hinges on the alliance, how sure that is, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import OptionError, check_seed
from features.panel import Panel
from personalize.explain.own_sd import SD, sd_draws, within_sds
from personalize.explain.patient_effects import PatientEffects, carried, intake_with_therapist, patient_effects
from personalize.explain.reasons import in_words, strongest
from personalize.explain.seen_range import seen_range
from personalize.explain.verdicts import verdicts

Floats = NDArray[np.float64]

CHUNK = 64  # draws ranked at a time
TOP_FIFTH = 0.2  # the share of the effect's own p_top_fifth
NOT_SHOWN = "the test of heterogeneity does not show that patients differ, so they are not ranked"
NOT_TESTED = "there are too few data to test whether patients differ, so they are not ranked"


def hinge(
    effect: Any,
    panel: Panel,
    *,
    top: float = 0.2,
    shift: float | None = None,
    sd: SD = "pooled",
    sessions: int = 4,
    reference: Panel | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Say for every patient how much the outcome hinges on the alliance, how sure that is, and why.

    The signed benefit is the improvement of the outcome ``sessions`` sessions after the alliance is held ``shift``
    above its expected course: ``−direction · β_i · δ · Σ_{k<K} ρ^k``, with direction 1 where a lower outcome is better,
    −1 where a higher one is. K is the same for everybody, because the length of a treatment is itself an outcome.
    Intervals and probabilities come from joint draws of all β_i, ρ and, with ``sd="own"``, the patients' SDs; with one
    shift for everybody p_benefit is exact, and p_top of a fifth is the effect's own p_top_fifth. It is an
    estimate from observational data, under the assumptions of the effect; it is not what a forecast makes of the
    alliance.

    Parameters
    ----------
    effect : AllianceEffect
        Fitted.
    panel : Panel
        Patients to explain: those of the fit, or new ones (then from intake alone).
    top : float
        Share of patients that counts as those with the largest benefit.
    shift : float, optional
        Alliance points the alliance is held above its expected course, the same for everybody; by default one
        true-score within-patient SD.
    sd : {"pooled", "own"}
        Which SD that is, and which ``effect_per_sd`` refers to: the pooled one (``effect.state_sd_``), or the
        patient's own, shrunken (`personalize.explain.own_sd`). "own" ranks those first whose alliance moves a lot and
        matters; "pooled" those whose outcome follows the alliance most.
    sessions : int
        K, sessions until the outcome is looked at.
    reference : Panel, optional
        Whose alliances count as seen (``outside``) and whose SDs an own one is drawn to; the panel itself by default,
        for new patients the panel of the fit.
    random_state : int

    Returns
    -------
    DataFrame, index patient id, in the panel's order
        effect, effect_lower, effect_upper (outcome points per alliance point); effect_per_sd, _lower, _upper (per
        within-patient SD); shift (alliance points); benefit, benefit_lower, benefit_upper (outcome points, positive is
        improvement); benefit_long_run (the limit, δ·β/(1−ρ)); p_benefit (above zero); p_reliable (above the measure's
        reliable change; NaN with p_reliable_reason where none is known); rank (by signed benefit, 1 is the largest) and
        p_top (among the share ``top`` with the largest benefit): empty, with ranking_reason, where patients are not
        shown to differ; own_reliability, n_sessions, n_transitions, baseline_estimate (effect that intake and therapist
        say), own_shift (what the own sessions add), similar_shift (what those of similar patients add, where patients
        are few); moderator_1 ... moderator_3 with _effect and _direction; why (in words); verdict; outside (the shift
        leaves the alliances seen in patients of this level); reason (why nothing is estimated).

    Raises
    ------
    OptionError
        For a share, shift, SD or number of sessions that makes no sense.
    NotFitted, PanelError
        As in `personalize.explain.patient_effects.patient_effects`.
    """
    _check(top, shift, sessions)
    check_seed("random_state", random_state)
    own = patient_effects(effect, panel, random_state=random_state)
    own_sd = within_sds(effect, panel, sd, reference)
    drawn_sd = sd_draws(effect, panel, sd, reference, n_draws=len(own.draws), random_state=random_state)
    delta = own_sd if shift is None else np.full(panel.n_patients, float(shift))
    drawn_delta = drawn_sd if shift is None else delta
    direction = -1.0 if panel.better == "low" else 1.0
    table = own.table
    level = float(effect.average_.get("level", 0.90))
    estimate = table["estimate"].to_numpy(dtype=float)
    out = pd.DataFrame(index=panel.patient_ids)
    for name, column in (("effect", "estimate"), ("effect_lower", "lower"), ("effect_upper", "upper")):
        out[name] = table[column].to_numpy(dtype=float)
    ends = [0.5 - level / 2, 0.5 + level / 2]
    for name in ("", "_lower", "_upper"):
        out[f"effect_per_sd{name}"] = out[f"effect{name}"] * own_sd
    if sd == "own":
        out["effect_per_sd_lower"], out["effect_per_sd_upper"] = np.quantile(drawn_sd * own.draws, ends, axis=0)
    benefit = direction * drawn_delta * own.draws * carried(own.persistence, sessions)[:, None]
    out["shift"] = delta
    out["benefit"] = direction * delta * estimate * float(carried(np.asarray(own.memory), sessions))
    out["benefit_lower"], out["benefit_upper"] = np.quantile(benefit, ends, axis=0)
    memory = own.memory
    out["benefit_long_run"] = direction * delta * estimate / (1 - memory) if memory < 1 else np.nan
    known = np.isfinite(estimate)
    same_shift = sd == "pooled" or shift is not None
    exact = own.above if direction > 0 else 1.0 - own.above
    out["p_benefit"] = np.where(known, exact if same_shift else (benefit > 0).mean(axis=0), np.nan)
    _reliable(out, benefit, known, panel)
    detected = bool(effect.heterogeneity_["detected"])
    p_top = _top(effect, own, benefit, known, top, same_shift=same_shift)
    untested = not np.isfinite(float(effect.heterogeneity_.get("p_value", 0.0)))
    _ranking(out, p_top, known, NOT_TESTED if untested else "" if detected else NOT_SHOWN)
    _own_data(out, own)
    words = strongest(_contributions(effect, panel, own), direction)
    out = pd.concat([out, words], axis=1)
    out["why"] = in_words(words, out["own_shift"].to_numpy(), out["similar_shift"].to_numpy(), direction)
    among = np.full(panel.n_patients, np.nan)
    among[known] = p_top
    out["verdict"] = verdicts(
        out["p_benefit"].to_numpy(dtype=float),
        among,
        out["n_transitions"].to_numpy(dtype=float),
        alliance=str(panel.columns.alliance),
        detected=detected,
    )
    out["outside"] = seen_range(panel, reference).outside(delta)
    out["reason"] = table["reason"].fillna("").astype(str).to_numpy() if "reason" in table else ""
    out.attrs.update({"top": top, "sessions": sessions, "level": level, "sd": sd, "state_sd": float(effect.state_sd_)})
    return out


def _top(
    effect: Any, own: PatientEffects, benefit: Floats, known: NDArray[np.bool_], top: float, *, same_shift: bool
) -> Floats:
    """Probability of each known patient to be among the share ``top``: the effect's own where it asked the same.

    With the same shift for everybody, and the patients of the fit, benefit ranks as the effect does: one probability,
    not two that differ by the luck of their draws.
    """
    stated = own.table.get("p_top_fifth", pd.Series(np.nan, own.table.index)).to_numpy(dtype=float)[known]
    same = same_shift and top == TOP_FIFTH and not own.new.any() and len(own.table) == len(effect.effects_)
    if same and np.isfinite(stated).all():
        return np.asarray(stated)
    return top_probability(benefit[:, known], top)


def top_probability(benefit: Floats, top: float) -> Floats:
    """Probability of each patient to be among the share ``top`` with the largest benefit.

    Each joint draw is ranked by itself; ranks of point estimates would name the same patients for certain.

    Parameters
    ----------
    benefit : array of shape (n_draws, n_patients)

    Examples
    --------
    >>> top_probability(np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0]]), 1 / 3).tolist()
    [0.5, 0.5, 0.0]
    """
    n_draws, n = benefit.shape
    if n == 0:
        return np.zeros(0)
    count = max(int(np.ceil(top * n - 1e-9)), 1)
    total = np.zeros(n)
    for start in range(0, n_draws, CHUNK):
        part = benefit[start : start + CHUNK]
        chosen = np.argpartition(-part, count - 1, axis=1)[:, :count]
        total += np.bincount(chosen.ravel(), minlength=n)
    return np.asarray(total / n_draws)


def _check(top: float, shift: float | None, sessions: int) -> None:
    if not 0 < top < 1:
        raise OptionError(f"top={top!r} is not allowed; give a share of patients between 0 and 1, such as 0.2.")
    if shift is not None and (not np.isfinite(shift) or shift <= 0):
        raise OptionError(f"shift={shift!r} is not allowed; give alliance points above 0, or None for one SD.")
    if isinstance(sessions, bool) or not isinstance(sessions, (int, np.integer)) or sessions < 1:
        raise OptionError(f"sessions={sessions!r} is not allowed; give a number of sessions from 1.")


def _reliable(out: pd.DataFrame, benefit: Floats, known: NDArray[np.bool_], panel: Panel) -> None:
    measure = panel.outcome_measure
    points = None if measure is None else measure.reliable_change
    if points is None:
        out["p_reliable"] = np.nan
        out["p_reliable_reason"] = (
            f"no measure was named for {panel.columns.outcome!r}, so its reliable change is not known"
            if measure is None
            else f"the registry holds no reliable change for {measure.name!r}"
        )
    else:
        out["p_reliable"] = np.where(known, (benefit > points).mean(axis=0), np.nan)
        out["p_reliable_reason"] = ""


def _ranking(out: pd.DataFrame, p_top: Floats, known: NDArray[np.bool_], reason: str) -> None:
    out["rank"] = pd.array([pd.NA] * len(out), dtype="Int64")
    out["p_top"] = np.nan
    if not reason:
        out.loc[known, "p_top"] = p_top
        rank = out["benefit"].rank(ascending=False, method="first")
        out["rank"] = rank.astype("Int64")
        out["ranking_reason"] = np.where(known, "", "no effect could be estimated")
    else:
        out["ranking_reason"] = reason


def _own_data(out: pd.DataFrame, own: PatientEffects) -> None:
    for name in ("own_reliability", "n_sessions", "n_transitions", "baseline_estimate", "own_shift", "similar_shift"):
        values = own.table[name] if name in own.table else pd.Series(np.nan, index=own.table.index)
        out[name] = values.to_numpy(dtype=float)


def _contributions(effect: Any, panel: Panel, own: PatientEffects) -> pd.DataFrame:
    """Contributions of the moderators for the panel's patients, in its order."""
    found = pd.DataFrame(effect.moderator_contributions())
    if own.new.any():
        found = pd.concat([found, effect.moderator_contributions(intake_with_therapist(panel, own.new))])
    return found.reindex(panel.patient_ids).fillna(0.0)
