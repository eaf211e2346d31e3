"""Forecasts of patients that neither members nor weights nor calibration have seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import OptionError, check_option, listed
from features.panel import Panel
from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.crossfit import Crossfit, calibrate, crossfit, extend
from personalize.trajectories.distribution import QUANTILES, outcome_range, quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.model import ForecastModel
from personalize.trajectories.query import Query, part

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FORECASTER = "forecaster"
FIFTHS = 5
TOLERANCE = 1e-9  # an outcome at the end of its interval is inside, whatever the rounding

Peer = Callable[[Panel, Query], pd.DataFrame]


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of held-out patients.

    Parameters
    ----------
    rows : DataFrame
        One row a forecaster, patient, landmark and horizon: forecaster, patient, landmark, horizon, severity (fifth of
        the patient's last score at the landmark; 0: none yet), outcome, mean, lower, upper, crps and the quantiles.
    paths : DataFrame
        One row a forecaster, patient and landmark: number of observed later sessions, whether the band held them all,
        its mean width there and that of the interval.
    level : float
    """

    rows: pd.DataFrame
    paths: pd.DataFrame
    level: float


def held_out(
    forecaster: TrajectoryForecaster,
    panel: Panel,
    *,
    landmarks: Sequence[int] = (3, 5, 8),
    horizons: Sequence[int | str] = (1, 4, "last"),
    baselines: Mapping[str, Sequence[str]] | None = None,
    refit: bool = False,
    peers: Mapping[str, Peer] | None = None,
) -> HeldOut:
    """Forecast each fold's patients from the others.

    Members are fitted without each fold of patients (of therapists, where there are at least ten) and forecast that
    fold; weights and calibration for a fold come from the other folds. A forecaster that was fitted to this very panel
    brings its folds along, so nothing is fitted twice. What a fold's outcomes can still touch is a handful of weights,
    through members that forecast the other folds; ``refit=True`` closes that door too, at the price of a whole fit a
    fold.

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Fitted or not; its options count.
    panel : Panel
    landmarks : sequence of int
        Numbers of sessions seen; 0 is intake.
    horizons : sequence of int or "last"
        Observed sessions ahead.
    baselines : mapping of str to members, optional
        Default: `baselines.BASELINES`.
    refit : bool
        Fit everything anew for each fold, choice of penalties, trees and weights included.
    peers : mapping of str to function, optional
        Other people's forecasters: given the training panel and a `Query` they return the columns of a forecast for
        its targets. Only with ``refit=True``.

    Raises
    ------
    OptionError
        A landmark after which nobody has sessions, a horizon that is none, peers without ``refit``.
    """
    _check(panel, landmarks, horizons)
    if peers and not refit:
        raise OptionError("peers: other forecasters can only be fitted fold by fold; pass refit=True.")
    given = BASELINES if baselines is None else baselines
    contenders: dict[str, Sequence[str]] = {FORECASTER: forecaster.members_for(panel), **given}
    names = list(dict.fromkeys(name for members in contenders.values() for name in members))
    cross = _folds_only(forecaster, panel) if refit else _cross(forecaster, panel, names)
    asked = _Asked.of(cross, landmarks, horizons)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in (*contenders, *(peers or {}))}
    for f in range(cross.folds.count):
        use = np.flatnonzero(asked.wanted & (cross.fold == f))
        if refit:
            train = panel.subset(np.flatnonzero(cross.folds.of_patient != f))
            tables = _refitted(forecaster, train, cross, use, contenders, names, peers or {})
        else:
            tables = _from_folds(forecaster, cross, f, use, contenders)
        for name, table in tables.items():
            parts[name].append(table.set_axis(use, axis=0))
    whole = {name: pd.concat(tables_of).sort_index() for name, tables_of in parts.items()}
    return _assembled(whole, cross, asked, forecaster.level)


def transferred(
    forecaster: TrajectoryForecaster,
    train: Panel,
    test: Panel,
    *,
    landmarks: Sequence[int] = (3, 5, 8),
    horizons: Sequence[int | str] = (1, 4, "last"),
    baselines: Mapping[str, Sequence[str]] | None = None,
) -> HeldOut:
    """Fit to one panel and forecast the patients of another: another clinic, later years.

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Its options count.
    train, test : Panel
    landmarks, horizons, baselines
        As in `held_out`.
    """
    _check(test, landmarks, horizons)
    given = BASELINES if baselines is None else baselines
    contenders: dict[str, Sequence[str]] = {FORECASTER: forecaster.members_for(train), **given}
    names = list(dict.fromkeys(name for members in contenders.values() for name in members))
    cross = _folds_only(forecaster, test)
    asked = _Asked.of(cross, landmarks, horizons)
    use = np.flatnonzero(asked.wanted)
    tables = _refitted(forecaster, train, cross, use, contenders, names, {})
    return _assembled(
        {name: table.set_axis(use, axis=0) for name, table in tables.items()}, cross, asked, forecaster.level
    )


@dataclass(frozen=True)
class _Asked:
    """Which targets are forecast: one a patient in each cell of landmark and horizon, and every session of the paths.

    ``wanted`` and ``path`` are masks of shape (n_targets,).
    """

    cells: list[tuple[int, str, Indices]]
    wanted: NDArray[np.bool_]
    path: NDArray[np.bool_]

    @classmethod
    def of(cls, cross: Crossfit, landmarks: Sequence[int], horizons: Sequence[int | str]) -> _Asked:
        path = ~cross.query.targets.last & np.isin(cross.query.seen, landmarks)
        cells, wanted = _cells(cross, landmarks, horizons), path.copy()
        for _, _, chosen in cells:
            wanted[chosen] = True
        return cls(cells, wanted, path)


def _assembled(tables: Mapping[str, pd.DataFrame], cross: Crossfit, asked: _Asked, level: float) -> HeldOut:
    """Score what each contender forecast; the tables' index holds the targets."""
    rows, paths = [], []
    for name, table in tables.items():
        rows.append(_scored(table, cross, asked.cells).assign(forecaster=name))
        paths.append(_paths(table, cross, np.flatnonzero(asked.path)).assign(forecaster=name))
    return HeldOut(pd.concat(rows, ignore_index=True), pd.concat(paths, ignore_index=True), level)


def _from_folds(
    forecaster: TrajectoryForecaster, cross: Crossfit, f: int, use: Indices, contenders: Mapping[str, Sequence[str]]
) -> dict[str, pd.DataFrame]:
    """Forecasts of one fold from the cross-fitted members, weighed and calibrated on the other folds."""
    out, limits = {}, outcome_range(cross.query.landmarks.panel)
    for name, members in contenders.items():
        fitted = calibrate(cross, members, level=forecaster.level, rows=cross.fold != f)
        out[name] = fitted.distribution(part(cross.query, use), np.asarray(QUANTILES), limits)
    return out


def _refitted(
    forecaster: TrajectoryForecaster,
    train: Panel,
    cross: Crossfit,
    use: Indices,
    contenders: Mapping[str, Sequence[str]],
    names: list[str],
    peers: Mapping[str, Peer],
) -> dict[str, pd.DataFrame]:
    """Forecasts of some targets from a panel without their patients."""
    own = crossfit(train, names, **forecaster.crossfit_options())
    model = ForecastModel.of(own, tuple(names), forecaster.level)
    query = model.query(cross.query.landmarks, cross.query.targets.take(use))
    out = {}
    for name, members in contenders.items():
        fitted = calibrate(own, members, level=forecaster.level)
        out[name] = fitted.distribution(query, np.asarray(QUANTILES), model.limits)
    return {**out, **{name: peer(train, query) for name, peer in peers.items()}}


def horizon_name(horizon: int | str) -> str:
    """Words for a horizon."""
    return {1: "next session", "last": "last session"}.get(horizon, f"{horizon} sessions ahead")


def crps(outcome: Floats, quantiles: Floats, levels: Floats) -> Floats:
    """Twice the mean pinball loss over the levels: the continuous ranked probability score on a grid.

    Source: Gneiting & Ranjan 2011, J. Bus. Econ. Stat. 29, 411-422.

    Parameters
    ----------
    outcome : array of shape (n,)
    quantiles : array of shape (n, n_levels)
    levels : array of shape (n_levels,)
    """
    error = outcome[:, None] - quantiles
    return np.asarray(2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=1))


def _check(panel: Panel, landmarks: Sequence[int], horizons: Sequence[int | str]) -> None:
    most = int(panel.sessions_per_patient.max(initial=0))
    late = [k for k in landmarks if not 0 <= k < most]
    if late or not len(landmarks):
        raise OptionError(
            f"landmarks: {listed(late) or 'none'} cannot be evaluated; give numbers of sessions from 0 to {most - 1} "
            f"(the longest treatment has {most})."
        )
    for horizon in horizons:
        if isinstance(horizon, str) or horizon < 1:
            check_option("horizons", horizon, ("a number of sessions from 1", "last"))


def _cross(forecaster: TrajectoryForecaster, panel: Panel, names: list[str]) -> Crossfit:
    known: Crossfit | None = getattr(forecaster, "crossfit_", None)
    if known is not None and known.query.landmarks.panel is panel:
        return extend(known, names, random_state=forecaster.random_state, threads=forecaster.n_jobs)
    return crossfit(panel, names, **forecaster.crossfit_options())


def _folds_only(forecaster: TrajectoryForecaster, panel: Panel) -> Crossfit:
    """Targets and folds, and no member."""
    return crossfit(panel, (), **forecaster.crossfit_options())


def _cells(cross: Crossfit, landmarks: Sequence[int], horizons: Sequence[int | str]) -> list[tuple[int, str, Indices]]:
    """Rows of each landmark and horizon: one a patient. Empty ones are left out."""
    query = cross.query
    ahead = query.landmarks.panel.occasion[query.targets.row] + 1 - query.seen
    out = []
    for k in landmarks:
        for horizon in horizons:
            kind = query.targets.last if horizon == "last" else ~query.targets.last & (ahead == horizon)
            rows = np.flatnonzero(kind & (query.seen == k))
            if len(rows):
                out.append((int(k), horizon_name(horizon), rows))
    return out


def _scored(table: pd.DataFrame, cross: Crossfit, cells: list[tuple[int, str, Indices]]) -> pd.DataFrame:
    query = cross.query
    names = [quantile_name(p) for p in QUANTILES]
    last = query.outcome_input("last")
    out = []
    for landmark, horizon, rows in cells:
        own, outcome = table.loc[rows], query.targets.outcome[rows]
        frame = own.reset_index(drop=True)
        frame.insert(0, "patient", query.landmarks.panel.patient_ids[query.patient[rows]])
        frame.insert(1, "landmark", landmark)
        frame.insert(2, "horizon", horizon)
        frame.insert(3, "severity", _fifth(last[rows]))
        frame.insert(4, "outcome", outcome)
        frame["crps"] = crps(outcome, own[names].to_numpy(), np.asarray(QUANTILES))
        out.append(frame)
    return pd.concat(out, ignore_index=True)


def _fifth(values: Floats) -> Indices:
    """Fifth of each value among those that are known, 1 to 5; 0 where unknown."""
    out = np.zeros(len(values), dtype=np.intp)
    known = np.isfinite(values)
    if known.any():
        edges = np.quantile(values[known], np.arange(1, FIFTHS) / FIFTHS)
        out[known] = 1 + np.searchsorted(edges, values[known], side="right")
    return out


def _paths(table: pd.DataFrame, cross: Crossfit, rows: Indices) -> pd.DataFrame:
    own, outcome = table.loc[rows], cross.query.targets.outcome[rows]
    low, high = own["band_lower"].to_numpy() - TOLERANCE, own["band_upper"].to_numpy() + TOLERANCE
    frame = pd.DataFrame(
        {
            "patient": cross.query.landmarks.panel.patient_ids[cross.query.patient[rows]],
            "landmark": cross.query.seen[rows],
            "held": (outcome >= low) & (outcome <= high),
            "width": (own["band_upper"] - own["band_lower"]).to_numpy(),
            "pointwise_width": (own["upper"] - own["lower"]).to_numpy(),
        }
    )
    grouped = frame.groupby(["patient", "landmark"], sort=True)
    return grouped.agg(
        sessions=("held", "size"),
        held=("held", "all"),
        width=("width", "mean"),
        pointwise_width=("pointwise_width", "mean"),
    ).reset_index()
