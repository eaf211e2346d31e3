"""A fitted `AllianceEffect` on disk: JSON, Parquet, NumPy arrays and LightGBM text. Nothing in it can be executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.columns import Columns
from features.errors import FileError
from personalize.effects.encode import Encoding
from personalize.effects.moderators import Moderators, Ridge
from personalize.effects.posterior import Posterior

if TYPE_CHECKING:
    from personalize.effects.alliance_effect import AllianceEffect

E = TypeVar("E", bound="AllianceEffect")

FORMAT = "personalize-alliance-effect"
VERSION = 3
SERIES = ("average_", "heterogeneity_", "persistence_")


def save(effect: AllianceEffect, folder: Path) -> None:
    """Write the estimator into ``folder`` (made if need be)."""
    folder.mkdir(parents=True, exist_ok=True)
    m = effect.moderators_
    p = effect.posterior_
    arrays = {
        "own_slope": effect.own_slope_,
        "own_variance": effect.own_variance_,
        "own_noise": effect.own_noise_,
        "baseline_prediction": effect.baseline_prediction_,
        "clusters": effect.clusters_,
        "x": effect._x,
        "average_covariance": effect.average_covariance_,
        "mean": p.mean,
        "sd": p.sd,
        "baseline": p.baseline,
        "therapist": p.therapist,
        "weights": p.components[0],
        "means": p.components[1],
        "sds": p.components[2],
        "gamma": p.gamma,
        "grid": p.grid,
        "similar_shift": p.similar_shift,
    }
    if m is not None:
        arrays |= {
            "ridge_centre": m.ridge.centre,
            "ridge_coefficients": m.ridge.coefficients,
            "mix": m.mix,
            "mix_centre": m.centre,
            "out_of_fold": m.out_of_fold,
            "held_out": m.held_out,
            "fold": m.fold,
        }
        for i, booster in enumerate(m.boosters):
            booster.save_model(str(folder / f"moderators-{i}.txt"))
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    effect.effects_.reset_index(names="patient").to_parquet(folder / "effects.parquet")
    effect.therapist_table_.reset_index(names="therapist").to_parquet(folder / "therapists.parquet")
    text = {
        "format": FORMAT,
        "version": VERSION,
        "options": effect.get_params(),
        "encoding": effect.encoding_.to_dict(),
        "series": {name: _plain(getattr(effect, name)) for name in SERIES},
        "posterior": {k: getattr(p, k) for k in ("noise_slope", "omega", "psi", "average_variance", "extra_variance")},
        "ridge_intercept": None if m is None else m.ridge.intercept,
        "n_boosters": 0 if m is None else len(m.boosters),
        "therapist_ids": effect.therapist_ids_,
        "columns": effect.columns_.to_dict(),
        "better": effect.better_,
        "state_sd": effect.state_sd_,
        "notes": effect.notes_,
    }
    (folder / "effect.json").write_text(json.dumps(text, indent=1, sort_keys=True), encoding="utf-8")


def load(cls: type[E], folder: Path) -> E:
    """Read what `save` wrote.

    Raises
    ------
    FileError
        When a file is missing, is no such model, or was written by a later version.
    """
    path = folder / "effect.json"
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        arrays = dict(np.load(folder / "arrays.npz", allow_pickle=False))
        effects = pd.read_parquet(folder / "effects.parquet").set_index("patient")
        staff = pd.read_parquet(folder / "therapists.parquet").set_index("therapist")
    except FileNotFoundError as error:
        raise FileError(f"{error.filename}: this file of a saved AllianceEffect is not there.") from error
    except (ValueError, OSError) as error:
        raise FileError(f"{folder}: not readable as a saved AllianceEffect ({error}).") from error
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise FileError(f"{path}: this is not a saved AllianceEffect.")
    if text["version"] > VERSION:
        raise FileError(f"{path}: written by a later version (format {text['version']}, this reads up to {VERSION}).")
    if text["version"] < VERSION:
        raise FileError(
            f"{path}: written by an earlier version (format {text['version']}, this reads {VERSION}); fit the effect "
            "again."
        )
    effect = cls(**text["options"])
    effect.encoding_ = Encoding.from_dict(text["encoding"])
    for name in SERIES:
        setattr(effect, name, pd.Series(text["series"][name], dtype=object).infer_objects())
    a = arrays
    effect.posterior_ = Posterior(
        mean=a["mean"],
        sd=a["sd"],
        baseline=a["baseline"],
        therapist=a["therapist"],
        components=(a["weights"], a["means"], a["sds"]),
        gamma=a["gamma"],
        grid=a["grid"],
        similar_shift=a["similar_shift"],
        **text["posterior"],
    )
    effect.moderators_ = _moderators(text, a, folder)
    effect.own_slope_, effect.own_variance_, effect.own_noise_ = a["own_slope"], a["own_variance"], a["own_noise"]
    effect.baseline_prediction_, effect.clusters_, effect._x = a["baseline_prediction"], a["clusters"], a["x"]
    effect._average_covariance = a["average_covariance"]
    effect._therapist_table = staff
    effect.columns_ = Columns(**text["columns"])
    effect.therapist_ids_ = text["therapist_ids"]
    effect.better_, effect.state_sd_, effect.notes_ = text["better"], text["state_sd"], text["notes"]
    effect.effects_ = effects.rename_axis(effect.columns_.patient)
    effect.patient_ids_ = effect.effects_.index
    return effect


def _moderators(text: dict[str, Any], a: dict[str, Any], folder: Path) -> Moderators | None:
    if text["ridge_intercept"] is None:
        return None
    boosters = []
    for i in range(text["n_boosters"]):
        path = folder / f"moderators-{i}.txt"
        if not path.is_file():
            raise FileError(f"{path}: this file of a saved AllianceEffect is not there.")
        boosters.append(lgb.Booster(model_file=str(path)))
    ridge = Ridge(text["ridge_intercept"], a["ridge_centre"], a["ridge_coefficients"])
    return Moderators(ridge, tuple(boosters), a["mix"], a["mix_centre"], a["out_of_fold"], a["held_out"], a["fold"])


def _plain(series: pd.Series) -> dict[str, Any]:
    return {str(k): v.item() if hasattr(v, "item") else v for k, v in series.items()}
