"""Whether the forecaster gains on its baselines where patients are few, on average over many clinics.

    python -m experiments.forecast_small --out results/forecast_small                  # 24 clinics a cell: an hour

One small data set cannot say: with 66 patients the standard error of a paired difference is about 1 % of the error
itself. Here every clinic trains the contenders on few patients and judges them on 1,000 other patients of the same
clinic (other therapists), so that what is left is how clinics differ. Seeds that no default was chosen on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from experiments.checkpoint import Checkpoint, Row, run_cells
from experiments.forecast_accuracy import CONTENDERS
from features import Panel
from personalize.simulate import simulate_clinic
from personalize.trajectories.evaluate import scores
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import FORECASTER, transferred

PRESETS = ("nonlinear", "harsh")
PATIENTS = (66, 200, 500)
FIRST_SEED = 3001
SHOWN = {
    "coverage": "interval covers",
    "path_held": "band holds the whole path",
    "path_ratio": "width of the band, in widths of the interval",
}
OTHERS = 1000  # patients of each clinic that forecasts are judged on


def clinic_errors(preset: str, patients: int, seed: int) -> list[Row]:
    """Errors of every contender on patients of other therapists of one clinic: a row a contender."""
    panel = simulate_clinic(preset, n_patients=patients + OTHERS, random_state=seed).panel
    train = _therapists_of(panel, patients)
    forecaster = TrajectoryForecaster(random_state=seed)
    parts = panel.subset(np.flatnonzero(train)), panel.subset(np.flatnonzero(~train))
    held = transferred(forecaster, *parts, baselines=CONTENDERS)
    score = scores(held)
    # landmarks and horizons count the same
    cells = score.groupby(["forecaster", "landmark", "horizon"])[["mae", "crps", "coverage"]].mean()
    means = cells.groupby("forecaster").mean()
    paths = held.paths.groupby("forecaster")[["held", "width", "pointwise_width"]].mean()
    means["path_held"], means["path_ratio"] = paths["held"], paths["width"] / paths["pointwise_width"]
    means.insert(0, "trained_on", int(train.sum()))
    return [{str(name): value for name, value in row.items()} for row in means.reset_index().to_dict("records")]


def _therapists_of(panel: Panel, patients: int) -> NDArray[np.bool_]:
    """Patients of as many therapists, in order, as bring about so many patients."""
    ids, size = np.unique(panel.clusters, return_counts=True)
    enough = int(np.abs(np.cumsum(size) - patients).argmin()) + 1
    return np.isin(panel.clusters, ids[:enough])


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Forecaster minus each contender in percent, averaged over clinics, with 95 % limits from how clinics differ."""
    rows = []
    key = ["preset", "patients"]
    for (preset, patients), own in table.groupby(key, sort=False):
        for metric in ("mae", "crps"):
            wide = own.pivot(index="seed", columns="forecaster", values=metric)
            for name in wide.columns.drop(FORECASTER):
                each = 100 * (wide[FORECASTER] / wide[name] - 1)
                n = len(each)
                half = student.ppf(0.975, n - 1) * each.std() / np.sqrt(n) if n > 1 else np.nan
                mean = each.mean()
                rows.append((preset, patients, metric, name, mean, mean - half, mean + half, each.max(), n))
    columns = [*key, "metric", "forecaster", "percent", "lower", "upper", "worst_clinic", "clinics"]
    return pd.DataFrame(rows, columns=columns)


def markdown(table: pd.DataFrame, found: pd.DataFrame) -> str:
    """One column a cell: differences of MAE to every contender, the worst clinic beside, and what the bands hold."""
    cells = list(dict.fromkeys(zip(table["preset"], table["patients"], strict=True)))
    mae = found[found["metric"] == "mae"]
    names = mae.groupby("forecaster")["percent"].mean().sort_values(ascending=False).index
    lines = [
        "| forecaster's MAE minus …, % [95 %] (worst clinic) | " + " | ".join(f"{p}, {n}" for p, n in cells) + " |"
    ]
    lines.append("|" + "---|" * (len(cells) + 1))
    for name in names:
        shown = [
            f"{row.percent:+.1f} [{row.lower:+.1f}, {row.upper:+.1f}] ({row.worst_clinic:+.1f})".replace("-", "−")
            for row in mae[mae["forecaster"] == name].itertuples()
        ]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    own = table[table["forecaster"] == FORECASTER].groupby(["preset", "patients"], sort=False)
    means = own[list(SHOWN)].mean()
    for column, title in SHOWN.items():
        shown = [f"{value:.2f}".removeprefix("0") for value in means[column]]
        lines.append(f"| {title} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet, print the table, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS)
    parser.add_argument("--clinics", type=int, default=24)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first clinic")
    parser.add_argument("--jobs", type=int, default=1, help="clinics at a time, each on one core")
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + given.clinics)
    cells = [
        {"preset": preset, "patients": n, "seed": seed}
        for n in given.patients
        for preset in given.presets
        for seed in seeds
    ]
    table = run_cells(
        cells,
        clinic_errors,
        checkpoint=Checkpoint(given.out / "done.jsonl", {"others": OTHERS}),
        n_jobs=given.jobs,
        words="clinics",
    )
    found = differences(table)
    table.to_csv(given.out / "errors.csv", index=False)
    found.to_csv(given.out / "differences.csv", index=False)
    text = markdown(table, found)
    (given.out / "table.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


if __name__ == "__main__":
    main()
