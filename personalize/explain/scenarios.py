"""What if the alliance rose or fell: the forecast path plus the effect's shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import OptionError
from features.panel import Panel
from personalize.explain.fan import fan
from personalize.explain.own_sd import SD, sd_draws, within_sds
from personalize.explain.patient_effects import PatientEffects, carried, patient_effects
from personalize.explain.seen_range import seen_range
from personalize.trajectories.forecast import TrajectoryForecaster

Floats = NDArray[np.float64]


def scenarios(
    forecaster: TrajectoryForecaster,
    effect: Any,
    panel: Panel,
    *,
    shift: float | Sequence[float] = 1.0,
    sd: SD = "pooled",
    sessions: int = 4,
    forecasts: pd.DataFrame | None = None,
    reference: Panel | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Forecast the path of the outcome if the alliance were held above (or below) its expected course.

    Session k ahead is ``forecast_k + β_i · shift · δ · Σ_{j<k} ρ^j``: the forecast, which expects the alliance's usual
    course, plus the effect's shift. The forecaster's own response to its alliance features is never used: those
    predict, they do not say what would happen. With ``sd="own"`` the effect's interval holds how unsure the patient's
    SD is, as in `personalize.explain.hinge`. Half-widths of the forecast interval and of the effect's interval are
    added in quadrature on each side, as for independent errors.

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Fitted.
    effect : AllianceEffect
        Fitted.
    panel : Panel
        Histories so far.
    shift : float or sequence of float
        Within-patient SDs above (negative: below) the expected course, from this session on; one path each.
    sd : {"pooled", "own"}
        Which SD: ``effect.state_sd_`` for everybody, or each patient's own, shrunken (`personalize.explain.own_sd`).
    sessions : int
        Sessions ahead.
    forecasts : DataFrame, optional
        From `personalize.explain.fan`, where it has been made already (with at least ``sessions`` steps).
    reference : Panel, optional
        Whose alliances count as seen (``outside``) and whose SDs an own one is drawn to; the panel itself by default,
        for new patients the panel of the fit.
    random_state : int

    Returns
    -------
    DataFrame
        One row a patient, shift and step: the panel's patient and session columns, ``step``, ``shift`` (SDs),
        ``shift_points`` (alliance points), ``forecast`` (without shift), ``moved`` (what the shift adds, with
        ``moved_lower``, ``moved_upper``), ``mean``, ``lower``, ``upper``, ``outside`` (the shifted alliance leaves what
        was seen in patients of this level) and ``note`` (in words). Values stay within the outcome's range.

    Raises
    ------
    OptionError
        For shifts, SDs or sessions that make no sense.
    """
    shifts = np.atleast_1d(np.asarray(shift, dtype=float))
    if shifts.ndim != 1 or not len(shifts) or not np.isfinite(shifts).all():
        raise OptionError(f"shift={shift!r} is not allowed; give within-patient SDs, such as 1.0 or (-1.0, 1.0).")
    base = fan(forecaster, panel, sessions=sessions) if forecasts is None else forecasts
    base = base[base["step"] <= sessions].reset_index(drop=True)
    if forecasts is not None and (base.empty or int(base["step"].max()) < sessions):
        raise OptionError(f"sessions={sessions!r}: the forecasts that came have fewer steps; make them with fan(...).")
    own = patient_effects(effect, panel, random_state=random_state)
    delta = within_sds(effect, panel, sd, reference)
    level = float(forecaster.level)
    who = panel.patient_ids.get_indexer(pd.Index(base[panel.columns.patient]))
    step = base["step"].to_numpy(dtype=np.intp)
    drawn_delta = sd_draws(effect, panel, sd, reference, n_draws=len(own.draws), random_state=random_state)
    unit = _unit_shift(own, delta, drawn_delta, sessions, level)[:, step - 1, who]
    near = seen_range(panel, reference)
    limits = forecaster._fitted().limits
    parts = [
        _path(base, panel, float(amount), delta[who], unit, near.outside(float(amount) * delta)[who], limits)
        for amount in shifts
    ]
    out = pd.concat(parts, ignore_index=True)
    out.attrs = {
        "notes": list(base.attrs.get("notes", [])),
        "level": level,
        "sd": sd,
        "state_sd": float(effect.state_sd_),
    }
    return out


def _unit_shift(own: PatientEffects, delta: Floats, drawn_delta: Floats, sessions: int, level: float) -> Floats:
    """Shift of the outcome for one SD: estimate, lower, upper; shape (3, sessions, n_patients)."""
    out = np.empty((3, sessions, own.draws.shape[1]))
    estimate = own.table["estimate"].to_numpy(dtype=float)
    for k in range(1, sessions + 1):
        drawn = drawn_delta * own.draws * carried(own.persistence, k)[:, None]
        out[0, k - 1] = delta * estimate * float(carried(np.asarray(own.memory), k))
        out[1:, k - 1] = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return out


def _path(
    base: pd.DataFrame,
    panel: Panel,
    amount: float,
    delta: Floats,
    unit: Floats,
    outside: NDArray[np.bool_],
    limits: tuple[float, float],
) -> pd.DataFrame:
    """One shift for all patients and steps."""
    moved, ends = amount * unit[0], np.sort(amount * unit[1:], axis=0)
    forecast, lower, upper = (base[name].to_numpy(dtype=float) for name in ("mean", "lower", "upper"))
    low = moved - np.hypot(forecast - lower, moved - ends[0])
    high = moved + np.hypot(upper - forecast, ends[1] - moved)
    note = f"{panel.columns.alliance} would leave what was seen in patients of this level"
    return pd.DataFrame(
        {
            panel.columns.patient: base[panel.columns.patient],
            panel.columns.session: base[panel.columns.session],
            "step": base["step"],
            "shift": amount,
            "shift_points": amount * delta,
            "forecast": forecast,
            "moved": moved,
            "moved_lower": ends[0],
            "moved_upper": ends[1],
            "mean": np.clip(forecast + moved, *limits),
            "lower": np.clip(forecast + low, *limits),
            "upper": np.clip(forecast + high, *limits),
            "outside": outside,
            "note": np.where(outside, note, ""),
        }
    )
