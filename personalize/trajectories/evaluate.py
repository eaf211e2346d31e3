"""How good forecasts of new patients are, beside every baseline: cross-validated, each patient weighing the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.panel import Panel
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import TOLERANCE, HeldOut, held_out

Floats = NDArray[np.float64]
Cell = tuple[int, str]
Row = dict[str, Any]

REFERENCE = "last observation"
METRICS = ("mae", "mse", "crps", "coverage", "width")
COLUMNS = ["forecaster", "landmark", "horizon", "group", "metric", "estimate", "lower", "upper", "n"]


def evaluate(
    forecaster: TrajectoryForecaster,
    panel: Panel,
    *,
    landmarks: Sequence[int] = (3, 5, 8),
    horizons: Sequence[int | str] = (1, 4, "last"),
    baselines: Mapping[str, Sequence[str]] | None = None,
    refit: bool = False,
    n_bootstrap: int = 200,
) -> pd.DataFrame:
    """Cross-validate a forecaster and its baselines on a panel.

    Parameters
    ----------
    forecaster, panel, landmarks, horizons, baselines, refit
        As in `held_out.held_out`, which makes the forecasts.
    n_bootstrap : int
        Resamples of patients behind the intervals (95 %).

    Returns
    -------
    DataFrame
        Long: forecaster, landmark, horizon, group, metric, estimate, lower, upper, n (patients). Landmark 0 with
        horizon "all" is the mean over landmarks and horizons. Metrics: mae and rmse of the mean; crps (2 x mean
        pinball loss over the quantiles .05 ... .95); skill (1 - mae / mae of the last observation); coverage and width
        of the interval; coverage by fifth of severity (``group``); path_coverage, path_width and pointwise_width of the
        band (horizon "path").
    """
    held = held_out(forecaster, panel, landmarks=landmarks, horizons=horizons, baselines=baselines, refit=refit)
    return summarise(held, n_bootstrap=n_bootstrap, random_state=forecaster.random_state)


def summarise(held: HeldOut, *, n_bootstrap: int = 200, random_state: int = 0) -> pd.DataFrame:
    """Average held-out forecasts into the table of `evaluate`."""
    score = scores(held)
    ids = pd.Index(score["patient"].unique())
    counts = resamples(len(ids), n_bootstrap, random_state)
    out: list[Row] = []
    means: dict[str, dict[Cell, dict[str, Floats]]] = {}
    for (name, landmark, horizon), own in score.groupby(["forecaster", "landmark", "horizon"], sort=False):
        who, cell = ids.get_indexer(pd.Index(own["patient"])), (int(str(landmark)), str(horizon))
        drawn = {metric: means_of(counts, who, own[metric].to_numpy(dtype=float)) for metric in METRICS}
        means.setdefault(str(name), {})[cell] = drawn
        reference = means.get(REFERENCE, {}).get(cell)
        out += _rows(str(name), cell, drawn, reference, len(own))
        out += _by_severity(str(name), cell, own)
    overall = {name: _averaged(cells) for name, cells in means.items()}
    for name, drawn in overall.items():
        out += _rows(name, (0, "all"), drawn, overall.get(REFERENCE), len(ids))
    return pd.DataFrame(out + _path_rows(held.paths), columns=COLUMNS)


def scores(held: HeldOut) -> pd.DataFrame:
    """Loss of every held-out forecast; the reference comes first. A column ``split`` is kept where there is one."""
    rows = held.rows
    error = rows["outcome"] - rows["mean"]
    inside = (rows["outcome"] >= rows["lower"] - TOLERANCE) & (rows["outcome"] <= rows["upper"] + TOLERANCE)
    keep = ["forecaster", "patient", "landmark", "horizon", "severity", *(["split"] if "split" in rows else [])]
    out = rows[keep].assign(
        mae=error.abs(),
        mse=error**2,
        crps=rows["crps"],
        coverage=inside.astype(float),
        width=rows["upper"] - rows["lower"],
    )
    order = np.argsort((out["forecaster"] != REFERENCE).to_numpy(), kind="stable")
    return out.iloc[order]


def resamples(n: int, n_bootstrap: int, random_state: int) -> Floats:
    """How often each patient is drawn: once each, then in every bootstrap sample; shape (n_bootstrap + 1, n)."""
    rng = np.random.default_rng(random_state)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(float)
    return np.vstack([np.ones(n), drawn])


def means_of(counts: Floats, who: NDArray[np.intp], values: Floats) -> Floats:
    """Mean over the patients of each sample, shape (n_samples,)."""
    weight = counts[:, who]
    return np.asarray(weight @ values / np.maximum(weight.sum(axis=1), 1e-12))


def _averaged(cells: Mapping[Cell, dict[str, Floats]]) -> dict[str, Floats]:
    """Mean over landmarks and horizons, each counting the same."""
    return {metric: np.mean([cell[metric] for cell in cells.values()], axis=0) for metric in METRICS}


def _rows(name: str, cell: Cell, drawn: dict[str, Floats], reference: dict[str, Floats] | None, n: int) -> list[Row]:
    shown = {("rmse" if metric == "mse" else metric): drawn[metric] for metric in METRICS}
    shown["rmse"] = np.sqrt(shown["rmse"])
    if reference is not None:
        shown["skill"] = 1 - drawn["mae"] / reference["mae"]
    return [_row(name, cell, "all", metric, values, n) for metric, values in shown.items()]


def _row(name: str, cell: Cell, group: str, metric: str, draws: Floats, n: int) -> Row:
    lower, upper = np.quantile(draws[1:], [0.025, 0.975]) if len(draws) > 1 else (np.nan, np.nan)
    values = (name, *cell, group, metric, float(draws[0]), float(lower), float(upper), n)
    return dict(zip(COLUMNS, values, strict=True))


def _by_severity(name: str, cell: Cell, own: pd.DataFrame) -> list[Row]:
    """Coverage by fifth of severity at the landmark."""
    known = own[own["severity"] > 0]
    return [
        _share(name, cell, f"severity fifth {fifth}", "coverage", part["coverage"].to_numpy(dtype=float))
        for fifth, part in known.groupby("severity")
    ]


def _path_rows(paths: pd.DataFrame) -> list[Row]:
    out = []
    for (name, landmark), own in paths.groupby(["forecaster", "landmark"], sort=False):
        cell = (int(str(landmark)), "path")
        out.append(_share(str(name), cell, "all", "path_coverage", own["held"].to_numpy(dtype=float)))
        for metric, column in (("path_width", "width"), ("pointwise_width", "pointwise_width")):
            out.append(_row(str(name), cell, "all", metric, np.array([own[column].mean()]), len(own)))
    return out


def _share(name: str, cell: Cell, group: str, metric: str, held: Floats) -> Row:
    """A share with Wilson's interval."""
    n, p, z = len(held), float(held.mean()), 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return {**_row(name, cell, group, metric, np.array([p]), n), "lower": middle - half, "upper": middle + half}
