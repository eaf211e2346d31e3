"""How accurate the forecaster is beside its baselines, and whether its bands hold: the tables of docs/forecasts.md.

    python -m experiments.forecast_accuracy --out results/forecast_accuracy            # about three quarters of an hour
    python -m experiments.forecast_accuracy --out results/forecast_accuracy --quick    # one seed a clinic, 300 patients

Simulated clinics (1,000 patients and 200, 20 a therapist, seeds that no default was chosen on) and, where their
folders are given, the RefraMED trial (``--reframed``) and the Riesby study of imipramine (``--riesby``). Everything
is refitted for each of five folds of therapists. With the extra `benchmark` installed GPBoost takes part.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from features import Columns, Panel
from features.measures import Measure, measure
from features.windows import Layout
from personalize.simulate import simulate_clinic
from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.calibration import calibration_table
from personalize.trajectories.compare import compare
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.evaluate import scores, summarise
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import FORECASTER, HeldOut, Peer, held_out
from personalize.trajectories.members.growth import remaining_intervals
from personalize.trajectories.members.kalman import Variances, ahead, course_filter
from personalize.trajectories.query import Query

PRESETS = ("nonlinear", "linear", "harsh")
SEEDS = (701, 702, 703)
SMALL = 200  # patients of the small clinics
REAL = ("RefraMED PHQ-9", "Riesby HAMD")
# the strongest of the plain combinations stands beside the single baselines
CONTENDERS = {**BASELINES, "regression + mixed model": ("regression", "mixed")}
# of four settings tried on another clinic the best one; its own defaults learn next to nothing between patients
GPBOOST = {"learning_rate": 0.1, "num_leaves": 4, "min_data_in_leaf": 100, "leaves_newton_update": True, "verbose": -1}
GPBOOST_ROUNDS = 200


@dataclass(frozen=True)
class DataSet:
    """Courses to forecast.

    Parameters
    ----------
    name : str
    seed : int
        Of the folds (and of the patients, where they are simulated).
    panel : Panel
    landmarks : tuple of int
    horizons : tuple of int or "last"
    """

    name: str
    seed: int
    panel: Panel
    landmarks: tuple[int, ...] = (3, 5, 8)
    horizons: tuple[int | str, ...] = (1, 4, "last")


def data_sets(seeds: tuple[int, ...], n_patients: int, reframed: Path | None, riesby: Path | None) -> Iterator[DataSet]:
    """Real courses first, then simulated clinics."""
    for seed in seeds:
        if reframed is not None:
            yield DataSet(REAL[0], seed, read_reframed(reframed))
        if riesby is not None:
            yield DataSet(REAL[1], seed, read_riesby(riesby), (1, 2, 3), (1, 2, "last"))
    kinds = [(f"{preset}, {SMALL} patients", preset, SMALL) for preset in ("nonlinear", "harsh")]
    kinds += [(preset, preset, n_patients) for preset in PRESETS]
    for name, preset, size in kinds:
        for seed in seeds:
            yield DataSet(name, seed, simulate_clinic(preset, n_patients=size, random_state=seed).panel)


def read_reframed(folder: Path) -> Panel:
    """RefraMED: monthly PHQ-9; the one score out of range counts as missing."""
    return Panel(
        pd.read_csv(folder / "sessions.csv").dropna(subset="phq9"),
        pd.read_csv(folder / "patients.csv"),
        columns=Columns(outcome="phq9", time="month"),
        measures={"phq9": measure("phq9")},
        out_of_range="missing",
    )


def read_riesby(folder: Path) -> Panel:
    """Riesby: weekly HAMD of 66 inpatients, six times; -9 is missing. No alliance."""
    table = pd.read_csv(folder / "riesby.csv", dtype={"id": str}).rename(columns={"id": "patient_id"})
    return Panel(
        table.assign(session=table["week"] + 1).query("hamd != -9")[["patient_id", "session", "hamd"]],
        table[["patient_id", "endog"]].drop_duplicates(),
        columns=Columns(outcome="hamd"),
        measures={"hamd": Measure("hamd", minimum=0, maximum=52, better="low")},
    )


def fit_gpboost(train: Panel, intake: np.ndarray, jobs: int = 1) -> tuple[Any, Any]:
    """GPBoost's trees on time and intake, with a random level and a random slope on log time for each patient.

    Source: Sigrist 2022, J. Mach. Learn. Res. 23(232), 1-46.
    """
    import gpboost

    known = np.isfinite(train.outcome)
    when = _log_time(train.time[known], train)
    effects = gpboost.GPModel(
        group_data=train.patient_index[known],
        group_rand_coef_data=when,
        ind_effect_group_rand_coef=[1],
        matrix_inversion_method="cholesky",
        likelihood="gaussian",
    )
    design = np.column_stack([intake[train.patient_index[known]], when])
    data = gpboost.Dataset(design, train.outcome[known])
    booster = gpboost.train({**GPBOOST, "num_threads": jobs}, data, gp_model=effects, num_boost_round=GPBOOST_ROUNDS)
    return booster, effects


def gpboost_peer(train: Panel, query: Query) -> pd.DataFrame:
    """GPBoost, updated to the sessions so far by the conditional normal distribution of its random effects."""
    panel, targets, landmarks = query.landmarks.panel, query.targets, query.landmarks
    intake = query.intake()
    booster, effects = fit_gpboost(train, intake[panel.patient_ids.get_indexer(train.patient_ids)])
    noise, level, slope = np.ravel(np.asarray(effects.get_cov_pars(format_pandas=False)))[:3]
    variances = Variances(np.sqrt(level), np.sqrt(slope), 0.0, 1e-9, 1.0, np.sqrt(noise))

    def fixed(time: np.ndarray, patient: np.ndarray) -> np.ndarray:
        design = np.column_stack([intake[patient], _log_time(time, train)])
        nobody = np.full(len(time), -1)
        found = booster.predict(
            design, group_data_pred=nobody, group_rand_coef_data_pred=design[:, -1], pred_latent=True
        )
        return np.asarray(found["fixed_effect"])

    layout = Layout.of(panel.offsets)
    order, place = layout.order, np.argsort(layout.order)
    rest = np.nan_to_num(panel.outcome - fixed(panel.time, panel.patient_index))[None]
    trend = _log_time(panel.time, train)
    states = course_filter(
        rest[:, order], trend[order], panel.time[order], np.isfinite(panel.outcome)[order], layout, variances
    )

    def forecast(rows: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        landmark = targets.landmark[rows]
        at = place[landmarks.row[landmark]]
        shift, variance = ahead(
            states.mean[:, :, at], states.covariance[:, at], _log_time(time, train), np.ones(len(rows)), variances
        )
        return fixed(time, landmarks.patient[landmark]) + shift[0], variance

    mean, variance = np.empty(len(targets)), np.empty(len(targets))
    at, last = np.flatnonzero(~targets.last), np.flatnonzero(targets.last)
    mean[at], variance[at] = forecast(at, targets.time[at])
    left = remaining_intervals(train, query.clock)
    gaps = left[np.minimum(landmarks.seen[targets.landmark[last]], len(left) - 1)] * query.clock.interval
    now = landmarks.time[targets.landmark[last]]
    each = [forecast(last, now + gap) for gap in gaps.T]
    mean[last] = np.mean([m for m, _ in each], axis=0)
    variance[last] = np.mean([v for _, v in each], axis=0) + np.var([m for m, _ in each], axis=0)
    sd = np.sqrt(variance)
    columns = {"mean": mean, "lower": mean + sd * ndtri(0.05), "upper": mean + sd * ndtri(0.95)}
    columns |= {"band_lower": columns["lower"], "band_upper": columns["upper"]}
    columns |= {quantile_name(p): mean + sd * ndtri(p) for p in QUANTILES}
    known = panel.outcome_measure
    table = pd.DataFrame(columns)
    return table if known is None else table.clip(known.minimum, known.maximum)


def _log_time(time: np.ndarray, train: Panel) -> np.ndarray:
    return np.log1p(np.maximum(time - train.time.min(), 0.0))


def peers() -> dict[str, Peer]:
    """Other people's forecasters that are installed."""
    try:
        import gpboost  # noqa: F401
    except ImportError:
        return {}
    return {"GPBoost": gpboost_peer}


def pooled(parts: list[HeldOut], *, same_patients: bool = False) -> HeldOut:
    """Held-out forecasts of several clinics, or of several splits of the same patients into folds, as one.

    Patients of different clinics are different patients; splits of the same patients are averaged within each.
    """

    def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
        if same_patients:
            return pd.concat([frame.assign(split=i) for i, frame in enumerate(frames)], ignore_index=True)
        named = [frame.assign(patient=[f"{i}:{p}" for p in frame["patient"]]) for i, frame in enumerate(frames)]
        return pd.concat(named, ignore_index=True)

    return HeldOut(joined([part.rows for part in parts]), joined([part.paths for part in parts]), parts[0].level)


def accuracy_table(name: str, held: HeldOut, n_bootstrap: int) -> pd.DataFrame:
    """Mean errors, coverage and width of every forecaster, with the paired difference of the first to each."""
    found = summarise(held, n_bootstrap=n_bootstrap)
    overall = found[found["landmark"] == 0].pivot(index="forecaster", columns="metric", values="estimate")
    out = overall[["mae", "crps", "coverage", "width", "skill"]].copy()
    for other in overall.index.drop(FORECASTER):
        difference = compare(held, other, n_bootstrap=n_bootstrap)
        difference = difference[difference["landmark"] == 0].set_index("metric")
        for metric in ("mae", "crps"):
            row = difference.loc[f"{metric}_percent"]
            out.loc[other, f"{metric}_difference"] = (
                f"{row['estimate']:+.1f} % [{row['lower']:+.1f}, {row['upper']:+.1f}]"
            )
    return out.sort_values("crps").reset_index().assign(data=name)


def coverage_table(name: str, held: HeldOut) -> pd.DataFrame:
    """Coverage of the forecaster's interval by landmark, by horizon and by fifth of severity, taken one at a time."""
    score = scores(held)
    own = score[score["forecaster"] == FORECASTER]
    out = []
    for group in ("landmark", "horizon", "severity"):
        for value, part in own[own["severity"] > 0].groupby(group, sort=group != "horizon"):
            each = part.groupby("patient")["coverage"].mean()
            error = 1.96 * each.std() / np.sqrt(len(each))
            share = part["coverage"].mean()
            out.append((name, group, value, share, share - error, share + error, len(each)))
    return pd.DataFrame(out, columns=["data", "group", "value", "coverage", "lower", "upper", "patients"])


def path_table(name: str, held: HeldOut) -> pd.DataFrame:
    """How often the forecaster's band held the whole path, and how much wider than the interval it is."""
    own = held.paths[held.paths["forecaster"] == FORECASTER].groupby("landmark")
    ratio = own["width"].mean() / own["pointwise_width"].mean()
    table = pd.DataFrame(
        {"path_coverage": own["held"].mean(), "width_ratio": ratio, "patients": own["patient"].nunique()}
    )
    return table.reset_index().assign(data=name)


def dropout_table(seed: int, n_patients: int) -> pd.DataFrame:
    """What weights against drop-out change: mean forecast after three sessions, by horizon, on a harsh clinic."""
    panel = simulate_clinic("harsh", n_patients=n_patients, random_state=seed).panel
    history = panel.first(3)
    end = history.sessions.groupby("patient_id")["session"].max()
    means = {}
    for option in ("ignore", "weights"):
        forecaster = TrajectoryForecaster(random_state=seed, dropout=option).fit(panel)
        for steps in (1, 4, 8):
            at = pd.DataFrame({"patient_id": end.index, "session": end.to_numpy() + steps})
            means[option, steps] = forecaster.predict(history, at)["mean"].to_numpy()
    rows = []
    for steps in (1, 4, 8):
        shift = means["weights", steps] - means["ignore", steps]
        rows.append({"sessions_ahead": steps, "mean_shift": shift.mean(), "sd_of_shift": shift.std(), "n": len(shift)})
    return pd.DataFrame(rows)


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reframed", type=Path, help="folder with sessions.csv and patients.csv of RefraMED")
    parser.add_argument("--riesby", type=Path, help="folder with riesby.csv")
    parser.add_argument("--data", nargs="+", help="only these data sets, by the names in the tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    seeds, size, draws = ((given.seeds[0],), 300, 200) if given.quick else (tuple(given.seeds), 1000, 1000)
    given.out.mkdir(parents=True, exist_ok=True)
    held: dict[str, list[HeldOut]] = {}
    for data in data_sets(seeds, size, given.reframed, given.riesby):
        if given.data and data.name not in given.data:
            continue
        print(f"{data.name}, seed {data.seed}: {data.panel}", flush=True)
        forecaster = TrajectoryForecaster(random_state=data.seed, n_jobs=given.jobs)
        asked: dict[str, Any] = {"landmarks": data.landmarks, "horizons": data.horizons, "baselines": CONTENDERS}
        held.setdefault(data.name, []).append(held_out(forecaster, data.panel, refit=True, peers=peers(), **asked))
    tables: dict[str, list[pd.DataFrame]] = {"accuracy": [], "coverage": [], "paths": [], "calibration": []}
    for name, parts in held.items():
        merged = pooled(parts, same_patients=name in REAL)
        tables["accuracy"].append(accuracy_table(name, merged, draws))
        tables["coverage"].append(coverage_table(name, merged))
        tables["paths"].append(path_table(name, merged))
        tables["calibration"].append(calibration_table(merged).assign(data=name))
    tables["dropout"] = [dropout_table(seeds[0], size)]
    for name, frames in tables.items():
        table = pd.concat(frames, ignore_index=True)
        table.to_csv(given.out / f"{name}.csv", index=False)
        if name != "calibration":
            print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
