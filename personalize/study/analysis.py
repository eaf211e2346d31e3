"""Everything a run computes from a panel, stage by stage; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from features import NotEnoughData, Panel, build_features
from features.build import dictionary as feature_dictionary
from features.errors import reason_in_words
from personalize import explain
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.checks import named_moderators
from personalize.effects.intake import baseline_table
from personalize.study.config import Study
from personalize.study.progress import Stages
from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.calibration import calibration_table
from personalize.trajectories.evaluate import summarise
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import HeldOut, held_out

QUICK_BASELINES = ("last observation", "expected response", "mixed model")
LANDMARKS = (3, 5, 8)
HORIZONS = (1, 4, "last")
FIRST_SIGNAL = 2  # first session at which a patient can be off track: the band starts from the first score
FEWEST_AT_LANDMARK = 10  # patients with a session after it, for a landmark to be worth evaluating
SINGLE_INPUTS = 5  # of the boosted trees, a forecast
KINDS = ("next session", "4 sessions ahead", "last session")  # the rows a forecaster is asked for by default


@dataclass
class Analysis:
    """Fitted models and the tables made with them.

    Attributes
    ----------
    panel : Panel
    forecaster : TrajectoryForecaster
    effect : AllianceEffect or None
        None where there is no alliance column or too little data.
    features, features_dictionary : DataFrame
    forecasts, attributions : DataFrame
        One row a patient and target.
    tree_attributions : DataFrame
        The five single inputs that move each forecast most through its boosted trees.
    evaluation, calibration : DataFrame or None
        None where no patient has sessions after a landmark.
    on_track : OnTrack or None
        None where too few patients go on after a second session.
    hinge, validation, sensitivity : DataFrame or None
    left_out : dict of str to str
        What was not made, and why.
    """

    panel: Panel
    features: pd.DataFrame
    features_dictionary: pd.DataFrame
    forecaster: TrajectoryForecaster
    forecasts: pd.DataFrame
    attributions: pd.DataFrame
    tree_attributions: pd.DataFrame
    evaluation: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    on_track: explain.OnTrack | None = None
    effect: AllianceEffect | None = None
    hinge: pd.DataFrame | None = None
    validation: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def analyse(panel: Panel, study: Study, stages: Stages) -> Analysis:
    """Fit forecaster and effect to a panel and make every table.

    Raises
    ------
    NotEnoughData
        When not even a forecast can be learned. Too little data for the effect leaves the effect out, with the reason.
    """
    seed, level = study.get("analysis.seed"), study.get("analysis.level")
    named_moderators(baseline_table(panel), _moderators(study))  # a slip of the pen must not cost a run
    with stages("Features"):
        features = build_features(panel, seen="whole")
        described = feature_dictionary(panel, seen="whole")
    with stages("Forecasts: learning"):
        forecaster = TrajectoryForecaster(random_state=seed, level=level).fit(panel)
    with stages("Forecasts: every patient"):
        forecasts = forecast_table(forecaster, panel)
        moved = attribution_table(forecaster, panel)
        single = tree_table(forecaster, panel)
    done = Analysis(panel, features, described, forecaster, forecasts, moved, single)
    with stages("Forecasts: how good they are, beside the baselines"):
        _evaluate(done, study)
    if not panel.has_alliance:
        reason = (
            "No column plays the role of the alliance, so no effect was estimated: forecasts only. Name the column "
            "with --alliance (alliance.column in study.toml)."
        )
        done.left_out |= dict.fromkeys(("effects.csv", "hinge.csv"), reason)
        return done
    with stages("Effect of the alliance: estimating"):
        _estimate(done, study)
    if done.effect is not None:
        with stages("Effect of the alliance: who hinges, how sure"):
            _explain_effect(done, done.effect, study)
    return done


def forecast_table(forecaster: TrajectoryForecaster, panel: Panel) -> pd.DataFrame:
    """Forecasts of the next session, four ahead and the last one, from the end of each patient's sessions.

    The column ``target`` says which, ``sessions_seen`` how many sessions the forecast rests on.
    """
    made = forecaster.predict(panel)
    made.insert(1, "target", np.tile(np.asarray(KINDS, dtype=object), panel.n_patients))
    made.insert(2, "sessions_seen", np.repeat(panel.sessions_per_patient, len(KINDS)))
    return made


def attribution_table(forecaster: TrajectoryForecaster, panel: Panel) -> pd.DataFrame:
    """Shapley values by group of inputs of every forecast of `forecast_table`."""
    made = explain.attributions(forecaster, panel)
    made.insert(1, "target", np.tile(np.asarray(KINDS, dtype=object), panel.n_patients))
    return made


def tree_table(forecaster: TrajectoryForecaster, panel: Panel) -> pd.DataFrame:
    """Single inputs that move each forecast of `forecast_table` most, by TreeSHAP of the boosted member."""
    made = explain.tree_attributions(forecaster, panel, top=SINGLE_INPUTS)
    made.insert(1, "target", np.tile(np.repeat(np.asarray(KINDS, dtype=object), SINGLE_INPUTS), panel.n_patients))
    return made[made["contribution"] != 0].reset_index(drop=True)


def landmarks_of(panel: Panel) -> tuple[int, ...]:
    """Landmarks (sessions seen) after which enough patients go on for accuracy to be measured."""
    counts = panel.sessions_per_patient
    enough = [k for k in range(1, max(LANDMARKS) + 1) if (counts > k).sum() >= FEWEST_AT_LANDMARK]
    usual = tuple(k for k in LANDMARKS if k in enough)
    return usual or tuple(enough[-1:])


def _evaluate(done: Analysis, study: Study) -> None:
    landmarks = landmarks_of(done.panel)
    if not landmarks:
        done.left_out["accuracy of the forecasts"] = (
            f"Fewer than {FEWEST_AT_LANDMARK} patients have a second session; nothing to hold forecasts against."
        )
        return
    names = BASELINES if study.get("analysis.all_baselines") else {n: BASELINES[n] for n in QUICK_BASELINES}
    held = _large_enough(held_out(done.forecaster, done.panel, landmarks=landmarks, horizons=HORIZONS, baselines=names))
    done.evaluation = summarise(held, random_state=done.forecaster.random_state)
    done.calibration = calibration_table(held)
    signal = [k for k in landmarks if k >= FIRST_SIGNAL]
    if signal:
        done.on_track = explain.on_track(done.forecaster, done.panel, landmarks=signal)
    else:
        done.left_out["the not-on-track signal"] = (
            f"Fewer than {FEWEST_AT_LANDMARK} patients go on after session {FIRST_SIGNAL}; nothing to judge it by."
        )


def _large_enough(held: HeldOut) -> HeldOut:
    """Leave out landmarks and horizons that few patients reach: their accuracy would be noise."""
    n = held.rows.groupby(["forecaster", "landmark", "horizon"])["patient"].transform("size")
    return replace(held, rows=held.rows[n >= FEWEST_AT_LANDMARK].reset_index(drop=True))


def _moderators(study: Study) -> list[str] | None:
    return list(study.get("analysis.moderators")) or None


def _estimate(done: Analysis, study: Study) -> None:
    options: dict[str, Any] = {
        "alliance_sem": study.get("alliance.sem"),
        "outcome_sem": study.get("outcome.sem"),
        "moderators": _moderators(study),
        "level": study.get("analysis.level"),
        "random_state": study.get("analysis.seed"),
    }
    known = {name: value for name, value in options.items() if value is not None}
    try:
        done.effect = AllianceEffect(**known).fit(done.panel)
    except NotEnoughData as error:
        done.left_out |= dict.fromkeys(("effects.csv", "hinge.csv"), str(error))


def _explain_effect(done: Analysis, effect: AllianceEffect, study: Study) -> None:
    done.hinge = explain.hinge(
        effect, done.panel, sd=study.get("analysis.shift_sd"), random_state=study.get("analysis.seed")
    )
    for name in ("validation", "sensitivity"):
        try:
            table = effect.validate() if name == "validation" else effect.sensitivity()
        except NotEnoughData as error:
            done.left_out[f"{name} of the effect"] = reason_in_words(error)
        else:
            setattr(done, name, table)
