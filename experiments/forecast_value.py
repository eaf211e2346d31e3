# ruff: noqa: E501, D400
"""What do session ratings of the alliance add to a forecast that has outcome history and baseline?

Run ``python -m experiments.forecast_value``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student
from sklearn.base import clone

from experiments.command import main
from experiments.figures import PLACEBO, canvas, intervals
from experiments.levels import resampling_groups
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row
from features import Panel
from features.errors import NotEnoughData
from personalize.simulate import SimulatedClinic, simulate_clinic
from personalize.study.panel_store import panel_tables, rebuilt
from personalize.trajectories.crossfit import FEWEST_THERAPISTS, crossfit, extend
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import crps, held_out, horizon_name

LEVEL = 0.95
LANDMARKS = (3, 5, 8)
HORIZONS: tuple[int | str, ...] = (1, 4, "last")
FEWEST = 40
KEY = ["patient", "landmark", "horizon"]
NEW_PATIENTS, NEW_SEED = 1000, 10**6  # of the clinic that tells the truth of a trial
TRIAL_FOLDS = 3
DEAF_MEMBERS = ("growth", "mixed")  # of the forecaster; they read outcomes and intake only
CLAIM = "Knowing the alliance so far makes a forecast better that already knows outcome history and baseline."
SCENARIOS: dict[str, dict[str, Any]] = {
    "alliance moves the outcome": {"preset": "nonlinear"},
    "alliance says nothing": {"preset": "null", "options": {"trait_to_outcome": 0.0, "feedback": 0.0}},
}


@experiment()
def run(
    asked: Question,
    *,
    level: float = LEVEL,
    landmarks: Sequence[int] = LANDMARKS,
    horizons: Sequence[int | str] = HORIZONS,
    members: Sequence[str] | None = None,
) -> ExperimentResult:
    """What do session ratings of the alliance add to a forecast that has outcome history and baseline?

    Claim: alliance so far (trait and state, past sessions only) improves forecasts of new patients. Estimand: share of the
    mean absolute error, and of the CRPS, that goes in new patients of other therapists when the forecaster that this clinic
    teaches is also given the alliance; per landmark (sessions seen) and horizon, paired by patient. (The gain expected over
    clinics would need to know how differently clinics teach, of which one clinic says too little: where its forecaster makes
    nothing of the alliance, gain and standard error are both near zero.) Both forecasters are cross-fitted over therapists.
    Intervals: t, therapists as units, widened for the luck of the training patients, which folds share (Nadeau & Bengio 2003,
    Machine Learning 52, 239-281; cf. Bates, Hastie & Tibshirani 2024, Journal of the American Statistical Association 119,
    1434-1445). Assumptions: none causal; a gain does not say that raising the alliance changes the outcome, and none does not
    say that it does not.

    Falsification: each patient given the alliance course of another patient must bring no gain.
    """
    panel = asked.panel
    process = asked.process
    use = usable_landmarks(panel, landmarks)
    forecaster = TrajectoryForecaster(random_state=asked.random_state, members=members)
    bare = deaf(panel)
    without_it = clone(forecaster).fit(bare)
    without = losses(without_it, bare, use, horizons)

    def gains(given: Panel) -> list[dict[str, Any]]:
        found = losses(told(forecaster, given, without_it), given, use, horizons)
        return compare(found, without, panel, level, asked.random_state, folds=forecaster.n_folds)

    table = pd.DataFrame(gains(panel))
    placebo = gains(with_strangers(panel, asked.random_state))
    checks = pd.DataFrame([_check(row) for row in placebo if row["landmark"] == 0])
    overall = table[(table["landmark"] == 0) & (table["metric"] == "mae")].iloc[0]
    clear = overall["lower"] > 0
    sentence = (
        f"Adding {process} to outcome history and baseline {'lowered' if clear else 'was not shown to lower'} the error of forecasts "
        f"of {asked.outcome} for new patients: {overall['estimate']:.1%} of the mean absolute error ({level:.0%} CI "
        f"{overall['lower']:.1%} to {overall['upper']:.1%}; {overall['without']:.2f} points without, {overall['with']:.2f} with)."
    )
    unit = "therapist" if panel.n_therapists >= FEWEST_THERAPISTS else "patient"
    notes = [f"Landmarks {', '.join(str(k) for k in use)} sessions; {int(overall['n'])} patients; folds by {unit}."]
    left_out = [k for k in landmarks if k not in use]
    if left_out:
        notes.append(
            f"Too few patients have a session after {', '.join(map(str, left_out))}; these landmarks are left out."
        )
    figure = _figure(table, placebo)
    return ExperimentResult("forecast-value", CLAIM, table, sentence, checks, figure, tuple(notes))


def usable_landmarks(panel: Panel, landmarks: Sequence[int]) -> list[int]:
    """Landmarks after which at least 40 patients have a session.

    Raises
    ------
    NotEnoughData
        When there is none.
    """
    use = [k for k in landmarks if (panel.sessions_per_patient > k).sum() >= FEWEST]
    if not use:
        most = int((panel.sessions_per_patient > min(landmarks)).sum())
        raise NotEnoughData(
            f"{panel.names['sessions']}: {most} patients have a session after the {min(landmarks)} seen; what the alliance "
            f"adds to a forecast needs at least {FEWEST}, better some hundreds. Earlier landmarks may do."
        )
    return use


def deaf(panel: Panel) -> Panel:
    """Leave the alliance out."""
    return panel.renamed(replace(panel.columns, alliance=None))


def told(forecaster: TrajectoryForecaster, panel: Panel, without_it: TrajectoryForecaster) -> TrajectoryForecaster:
    """Fit a forecaster that hears of the alliance; members that never do are those of the one fitted without it."""
    known = without_it.crossfit_
    cross = crossfit(panel, (), **forecaster.crossfit_options())
    same = {name: known.members[name] for name in DEAF_MEMBERS if name in known.members}
    forecasts = {key: value for key, value in known.query.forecasts.items() if key.split("_")[0] in same}
    cross = replace(cross, query=replace(cross.query, forecasts=forecasts), members=same)
    names = forecaster.members_for(panel)
    cross = extend(cross, names, random_state=forecaster.random_state, threads=forecaster.n_jobs)
    return clone(forecaster).adopt(cross)


def losses(
    forecaster: TrajectoryForecaster, panel: Panel, landmarks: Sequence[int], horizons: Sequence[int | str]
) -> pd.DataFrame:
    """Absolute error and CRPS of each held-out forecast; index patient, landmark, horizon."""
    rows = held_out(forecaster, panel, landmarks=landmarks, horizons=horizons, baselines={}).rows
    out = rows.assign(mae=(rows["outcome"] - rows["mean"]).abs())
    return out.set_index(KEY)[["mae", "crps"]]


def losses_of_others(
    forecaster: TrajectoryForecaster, panel: Panel, landmarks: Sequence[int], horizons: Sequence[int | str]
) -> pd.DataFrame:
    """The same losses of a fitted forecaster in patients of another panel: what held-out losses estimate."""
    columns = panel.columns
    length, ids = panel.sessions_per_patient, panel.patient_ids
    parts = []
    for landmark in landmarks:
        for horizon in horizons:
            who = np.flatnonzero(length > landmark if horizon == "last" else length >= landmark + int(horizon))
            row = panel.offsets[who] + (length[who] if horizon == "last" else landmark + int(horizon)) - 1
            session = pd.array(panel.session[row], dtype="Int64")
            session[np.full(len(who), horizon == "last")] = pd.NA  # when treatment will end is not told
            parts.append(
                pd.DataFrame(
                    {
                        columns.patient: ids[who],
                        columns.session: session,
                        "outcome": panel.outcome[row],
                        "patient": ids[who],
                        "landmark": landmark,
                        "horizon": horizon_name(horizon),
                    }
                )
            )
    asked = pd.concat(parts, ignore_index=True)
    at = asked[[columns.patient, columns.session]]
    told = [forecaster.predict(panel.first(int(k)), at.loc[own.index]) for k, own in asked.groupby("landmark")]
    found = pd.concat(told).loc[asked.index]
    names = [quantile_name(p) for p in QUANTILES]
    outcome = asked["outcome"].to_numpy()
    asked["mae"] = np.abs(outcome - found["mean"].to_numpy())
    asked["crps"] = crps(outcome, found[names].to_numpy(), np.asarray(QUANTILES))
    return asked.set_index(KEY)[["mae", "crps"]].dropna()


def compare(
    with_it: pd.DataFrame, without: pd.DataFrame, panel: Panel, level: float, seed: int, *, folds: int
) -> list[dict[str, Any]]:
    """Share of the loss that goes, per landmark and horizon and overall (landmark 0, every cell the same weight).

    The ratio's standard error is linearised: d_i − share · loss_i, summed within therapists. Its variance s² counts the
    patients who are forecast, not those who taught the forecasters, which any two of k folds share for the most part. With
    a correlation 1/k between folds the variance is s² · (1 + k / (k − 1)): (1/k + n_test / n_training) over 1/k (Nadeau
    & Bengio 2003).
    """
    both = with_it.add_suffix("_with").join(without.add_suffix("_without"), how="inner").reset_index()
    groups = pd.Series(resampling_groups(panel.clusters, seed), index=panel.patient_ids)
    gain = partial(_gain, level=level, widening=np.sqrt(1 + folds / (folds - 1)))
    rows: list[dict[str, Any]] = []
    cells = list(both.groupby(["landmark", "horizon"], sort=False))
    weight = pd.Series(0.0, index=both.index)
    for _, own in cells:
        weight[own.index] = 1.0 / len(own)
    for metric in ("mae", "crps"):
        for (landmark, horizon), own in cells:
            ones = np.full(len(own), 1.0 / len(own))
            rows.append(gain(own, ones, groups, metric, int(landmark), str(horizon)))
        rows.append(gain(both, weight.to_numpy() / len(cells), groups, metric, 0, "all"))
    return rows


def _gain(
    own: pd.DataFrame,
    weight: Any,
    groups: pd.Series,
    metric: str,
    landmark: int,
    horizon: str,
    *,
    level: float,
    widening: float,
) -> dict[str, Any]:
    loss, less = own[f"{metric}_without"].to_numpy(), own[f"{metric}_with"].to_numpy()
    base, now = float(weight @ loss), float(weight @ less)
    share = 1.0 - now / base
    group = groups.reindex(own["patient"]).to_numpy()
    names, of = np.unique(group, return_inverse=True)
    total = np.bincount(of, weight * ((loss - less) - share * loss) / base)
    k = len(names)
    se = widening * np.sqrt((total**2).sum() * k / max(k - 1, 1))
    half = float(student.ppf(0.5 + level / 2, max(k - 1, 1)) * se)
    return {
        "landmark": landmark,
        "horizon": horizon,
        "metric": metric,
        "estimate": share,
        "lower": share - half,
        "upper": share + half,
        "with": now,
        "without": base,
        "n": own["patient"].nunique(),
    }


def with_strangers(panel: Panel, seed: int) -> Panel:
    """The panel with each patient's alliance course taken from another patient of similar length, session by session."""
    name = panel.columns.alliance
    rng = np.random.default_rng(seed)
    length = panel.sessions_per_patient
    order = np.argsort(length + 0.01 * rng.random(panel.n_patients), kind="stable")
    order = order[length[order] > 0]  # who has not come has no course to lend
    donor = np.empty(panel.n_patients, dtype=np.intp)
    donor[order] = np.roll(order, 1)  # the next in length: never the patient's own
    own = panel.occasion
    at = np.minimum(own, length[donor[panel.patient_index]] - 1)
    values = panel.alliance[panel.offsets[donor[panel.patient_index]] + at]
    tables = panel_tables(panel)
    tables["sessions"][name] = np.where(np.isfinite(panel.alliance), values, np.nan)
    return rebuilt(panel, tables)


def _check(row: dict[str, Any]) -> dict[str, object]:
    return check_row(
        f"alliance of another patient: share of {row['metric']} gained",
        "no gain (0 or less)",
        row["estimate"],
        row["lower"],
        row["upper"],
        passed=row["lower"] <= 0,
        n=row["n"],
    )


def _figure(table: pd.DataFrame, placebo: list[dict[str, Any]]) -> Figure:
    figure, (ax,) = canvas(1, height=4.0, width=6.5)
    rows = table[table["metric"] == "mae"]
    fake = pd.DataFrame([row for row in placebo if row["metric"] == "mae" and row["landmark"] == 0])
    labels = [f"{k} seen, {h}" if k else "all" for k, h in zip(rows["landmark"], rows["horizon"], strict=True)]
    labels.append("all, another patient's alliance")
    shown = pd.concat([rows, fake], ignore_index=True)
    columns = [(100 * shown[c]).tolist() for c in ("estimate", "lower", "upper")]
    colours = ["#1b4965"] * len(rows) + [PLACEBO]
    intervals(ax, labels, *columns, colours=colours)
    ax.set_title("% of the mean absolute error that goes with the alliance known", fontsize=9)
    return figure


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration, in percent: found means a gain shown, truth is the gain in 1,000 other patients."""
    panel, bare = clinic.panel, deaf(clinic.panel)
    others = simulate_clinic(n_patients=NEW_PATIENTS, random_state=seed + NEW_SEED, options=clinic.truth.options).panel
    # three folds take two thirds of the time of five
    forecaster = TrajectoryForecaster(random_state=seed, n_folds=TRIAL_FOLDS)
    without_it = clone(forecaster).fit(bare)
    without = losses(without_it, bare, LANDMARKS, HORIZONS)
    without_new = losses_of_others(without_it, deaf(others), LANDMARKS, HORIZONS)
    out = []
    for words, given, new in (
        ("", panel, others),
        ("placebo, another patient's alliance: ", with_strangers(panel, seed), with_strangers(others, seed)),
    ):
        full = told(forecaster, given, without_it)
        found, found_new = losses(full, given, LANDMARKS, HORIZONS), losses_of_others(full, new, LANDMARKS, HORIZONS)
        rows = compare(found, without, panel, LEVEL, seed, folds=TRIAL_FOLDS)
        truths = compare(found_new, without_new, others, LEVEL, seed, folds=TRIAL_FOLDS)
        for row, truth in zip(rows, truths, strict=True):
            if row["landmark"] == 0 or row["horizon"] == "next session":
                name = f"{words}% of {row['metric']}, {row['landmark'] or 'all'} seen, {row['horizon']}"
                own = {k: 100 * row[k] for k in ("estimate", "lower", "upper")}
                shown = float(row["lower"] > 0)
                out.append({"quantity": name, **own, "truth": 100 * truth["estimate"], "found": shown})
    return out


if __name__ == "__main__":
    raise SystemExit(main(run))
