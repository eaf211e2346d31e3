"""Reliable change and clinical significance: change beyond measurement error, and into the healthy range."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features import windows
from features.alliance import rating
from features.errors import NotEnoughData, OptionError, check_option
from features.panel import Panel
from features.significance import CRITICAL, INDICES, Method, Norms, Scale, check_scale, cutoff_score
from features.windows import Floats, Layout


def clinical_change(
    panel: Panel,
    method: Method = "jacobson-truax",
    *,
    reliability: float | None = None,
    functional: Norms | None = None,
    cutoff: float | None = None,
    clinical: Norms | None = None,
    critical: float | None = None,
    column: str | None = None,
) -> pd.DataFrame:
    """Judge every patient's change from the first to the last observed score of the treatment.

    Reliable: the method's index lies beyond ± ``critical``. Recovered: reliably improved, in the clinical range at the
    first score (to which the cutoff itself belongs) and in the functional range at the last. Harmed: reliably worse, in
    the functional range at the first score and in the clinical range at the last. With "hageman-arrindell" the last
    score is in the functional range when ``(M_after + (after − M_after) · r_after − cutoff) / (√r_after · SEM)`` lies
    beyond ``critical``, and the cutoff is that of the true scores (each SD times the root of its reliability).

    Parameters
    ----------
    panel : Panel
    method : {"jacobson-truax", "edwards-nunnally", "hageman-arrindell"}
    reliability : float, optional
        Of one score; the measure's by default.
    functional : tuple of (mean, sd), optional
        Of the functional population: gives the cutoff c with the sample's first scores.
    cutoff : float, optional
        Score between the ranges, in place of ``functional``; the measure's by default. Without either, only reliable
        change is judged.
    clinical : tuple of (mean, sd), optional
        Of the clinical population before treatment; the patients' first scores by default.
    critical : float, optional
        1.96, and 1.65 for Hageman-Arrindell, as in the papers.
    column : str, optional
        The outcome by default.

    Returns
    -------
    DataFrame, index patient id, all patients
        before, after, change (points), index, improved, deteriorated (0/1), cutoff, clinical_before, functional_after
        (0/1, NaN without a cutoff), status ("recovered", "improved", "unchanged", "deteriorated", "harmed"; missing
        where not to be told), reason.

    Raises
    ------
    OptionError
        Without a reliability, or with one outside (0, 1).
    NotEnoughData
        With fewer than two patients who have two scores, or first scores all the same.
    """
    check_option("method", method, tuple(CRITICAL))
    name = panel.columns.outcome if column is None else column
    x = rating(panel, name)
    known = panel.measures.get(name)
    reliability = _reliability(reliability, known.reliability if known else None, name)
    limit = CRITICAL[method] if critical is None else critical
    before, after, n = _ends(panel, x)
    both = n >= 2
    scale = _scale(before[both], after[both], reliability, clinical)
    better = panel.better if name == panel.columns.outcome else (known.better if known and known.better else "low")
    up = 1.0 if better == "high" else -1.0
    index = np.where(both, INDICES[method](before, after, scale), np.nan)
    improved, worse = up * index > limit, up * index < -limit
    edge = _edge(method, scale, functional, cutoff, known.cutoff if known else None)
    table = pd.DataFrame(
        {"before": before, "after": after, "change": after - before, "index": index}, index=panel.patient_ids
    )
    ill, well, ill_after = _ranges(method, before, after, scale, edge, up, limit)
    cured, harmed = improved & ill & well, worse & ~ill & ill_after
    status = np.select(
        [cured, improved, harmed, worse], ["recovered", "improved", "harmed", "deteriorated"], default="unchanged"
    ).astype(object)
    status[~both] = None
    told = both & (edge is not None)
    table["improved"] = np.where(both, improved.astype(float), np.nan)
    table["deteriorated"] = np.where(both, worse.astype(float), np.nan)
    table["cutoff"] = np.nan if edge is None else edge
    table["clinical_before"] = np.where(told, ill.astype(float), np.nan)
    table["functional_after"] = np.where(told, well.astype(float), np.nan)
    table["status"] = status
    table["reason"] = np.select([n == 0, n == 1], ["no score", "one score only"], default="")
    return table


def reliable_change_so_far(panel: Panel, *, points: float | None = None, column: str | None = None) -> pd.DataFrame:
    """Tell for every session whether the change since the first score is reliable; past only.

    Parameters
    ----------
    panel : Panel
    points : float, optional
        Smallest reliable change, such as from `reliable_points`; the measure's by default.
    column : str, optional
        The outcome by default.

    Returns
    -------
    DataFrame of n_sessions rows
        Aligned with ``panel.sessions``: improvement (points since the first score, positive is better), improved,
        deteriorated (0/1: at least ``points``). NaN before the first score.
    """
    name = panel.columns.outcome if column is None else column
    known = panel.measures.get(name)
    x = rating(panel, name)
    least = points if points is not None else (known.reliable_change if known else None)
    if least is None or not least > 0:
        raise OptionError(
            f"points={points!r}: give the smallest reliable change of {name!r} in points (no measure tells it); "
            "reliable_points(sd, reliability) computes it."
        )
    better = panel.better if name == panel.columns.outcome else (known.better if known and known.better else "low")
    layout = Layout.of(panel.offsets)
    packed = layout.pack(x)
    gained = (1.0 if better == "high" else -1.0) * (windows.last(packed, layout) - windows.first(packed, layout))
    gained = layout.unpack(gained)
    unknown = np.isnan(gained)
    return pd.DataFrame(
        {
            "improvement": gained,
            "improved": np.where(unknown, np.nan, (gained >= least).astype(float)),
            "deteriorated": np.where(unknown, np.nan, (gained <= -least).astype(float)),
        },
        index=pd.RangeIndex(panel.n_sessions),
    )


def _reliability(given: float | None, known: float | None, name: str) -> float:
    value = given if given is not None else known
    if value is None:
        raise OptionError(f"reliability: no measure of {name!r} tells it; give reliability= (such as 0.85).")
    check_scale(reliability=value)
    return float(value)


def _ends(panel: Panel, x: Floats) -> tuple[Floats, Floats, Floats]:
    """First and last observed score of every patient and how many there are, shape (n_patients,)."""
    rows = np.flatnonzero(~np.isnan(x))
    who = panel.patient_index[rows]
    n = np.bincount(who, minlength=panel.n_patients).astype(float)
    before, after = np.full(panel.n_patients, np.nan), np.full(panel.n_patients, np.nan)
    after[who] = x[rows]  # the last assignment stays
    before[who[::-1]] = x[rows[::-1]]
    return before, after, n


def _scale(before: Floats, after: Floats, reliability: float, clinical: Norms | None) -> Scale:
    if len(before) < 2 or np.ptp(before) == 0:
        raise NotEnoughData(
            "clinical change needs two patients with two scores, and first scores that differ; there are "
            f"{len(before)} patients with two scores."
        )
    mean, sd = (float(before.mean()), float(before.std(ddof=1))) if clinical is None else clinical
    check_scale(reliability=reliability, sd=sd)
    spread = float(after.std(ddof=1))
    together = float(np.corrcoef(before, after)[0, 1]) if spread > 0 else 0.0
    return Scale(mean, sd, float(after.mean()), spread, together, reliability)


def _edge(
    method: Method, scale: Scale, functional: Norms | None, cutoff: float | None, known: float | None
) -> float | None:
    if cutoff is not None or functional is None:
        return cutoff if cutoff is not None else known
    mean, sd = functional
    check_scale(reliability=scale.reliability, sd=sd)
    if method != "hageman-arrindell":
        return cutoff_score((scale.mean, scale.sd), functional)
    own = scale.sd * np.sqrt(scale.reliability)
    if scale.reliability_at(sd) <= 0:
        raise OptionError(f"functional=({mean:g}, {sd:g}): its SD is not above the scale's error of {scale.error:.2f}.")
    return cutoff_score((scale.mean, own), (mean, sd * np.sqrt(scale.reliability_at(sd))))


def _ranges(
    method: Method, before: Floats, after: Floats, scale: Scale, edge: float | None, up: float, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each patient was in the clinical range before, is in the functional one after, in the clinical one."""
    if edge is None:
        nobody = np.zeros(len(before), dtype=bool)
        return nobody, nobody, nobody
    ill = up * before <= up * edge  # a score at the cutoff is still in the clinical range
    if method != "hageman-arrindell":
        return ill, up * after > up * edge, ~(up * after > up * edge)
    r = scale.reliability_at(scale.sd_after)
    if not r > 0:
        raise NotEnoughData(
            f"hageman-arrindell: the last scores vary no more than the scale's error {scale.error:.2f}."
        )
    true = scale.mean_after + (after - scale.mean_after) * r
    beyond = up * (true - edge) / (np.sqrt(r) * scale.error)
    return ill, beyond > limit, beyond < -limit
