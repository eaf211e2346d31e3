"""From fitted models to the tables of a report; what the caller already has is taken as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from features.errors import NotEnoughData, NotFitted, OptionError, listed, reason_in_words
from features.panel import Panel
from features.variance import variance_shares
from personalize import explain
from personalize.explain.own_sd import SD
from personalize.report.inputs import ReportInputs
from personalize.trajectories.calibration import calibration_table
from personalize.trajectories.evaluate import summarise
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import held_out

SHIFTS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)  # stops of the slider, within-patient SDs
SESSIONS = 8  # steps of the fan
LANDMARKS = (3, 5, 8)
FEWEST = 10  # patients with a session after a landmark
OWN = ("panel", "reference", "notes", "run")  # arguments of `gather`, not tables
LEFT_OUT = (NotEnoughData, NotFitted, OptionError)
NAMES = {
    "subgroups": "for whom",
    "hinge": "who hinges",
    "scenarios": "the slider",
    "validation": "validation of the effect",
    "sensitivity": "other choices for the average effect",
    "on_track": "the not-on-track signal",
    "evaluation": "accuracy of the forecasts",
    "alliance_variance": "trait and state",
    "attributions": "what moved the forecasts",
    "tree_attributions": "single inputs of the boosted trees",
}


def gather(
    panel: Panel,
    forecaster: TrajectoryForecaster | None = None,
    effect: Any = None,
    *,
    notes: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    evaluate: bool = True,
    shifts: Sequence[float] = SHIFTS,
    sd: SD = "pooled",
    sessions: int | None = None,
    reference: Panel | None = None,
    **given: Any,
) -> ReportInputs:
    """Compute whatever of `ReportInputs` the models can tell and ``given`` does not hold.

    Parameters
    ----------
    panel : Panel
    forecaster : TrajectoryForecaster, optional
        Fitted.
    effect : AllianceEffect, optional
        Fitted; None where there is no alliance column or too little data.
    notes : sequence of str
        Shown on the first screen, before what is added here.
    run : mapping
        As in `ReportInputs`.
    evaluate : bool
        False leaves out accuracy, calibration and the not-on-track signal, which need the panel of the fit.
    shifts : sequence of float
        Stops of the slider, within-patient SDs; 0 is among them.
    sd : {"pooled", "own"}
        Whose SD: pooled, or each patient's own, shrunken (`personalize.explain.own_sd`).
    sessions : int, optional
        Steps of the forecast fan; eight by default, fewer where no treatment of the fit was as long.
    reference : Panel, optional
        Patients to compare new ones with; the panel of the fit where ``panel`` is another.
    **given
        Fields of `ReportInputs` that have been made already.

    Returns
    -------
    ReportInputs
        What could not be made is left out, with the reason in ``notes``.

    Raises
    ------
    OptionError
        For a field that `ReportInputs` does not have.
    """
    known = [f.name for f in fields(ReportInputs) if f.name not in OWN]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise OptionError(f"gather: {listed(unknown)} is no table of a report; allowed are {', '.join(known)}.")
    about = dict(run or {})
    seed = int(about.get("seed") or 0)
    made = dict(given)
    left_out: list[str] = []

    def add(name: str, make: Callable[[], Any]) -> None:
        if name in made:
            return
        try:
            made[name] = make()
        except LEFT_OUT as reason:
            left_out.append(f"Left out: {NAMES.get(name, name.replace('_', ' '))}. {reason_in_words(reason)}")

    sessions = _steps(forecaster) if sessions is None else sessions
    if panel.has_alliance:
        add("alliance_variance", lambda: variance_shares(panel).table)
    add("outcome_variance", lambda: variance_shares(panel, column=panel.columns.outcome).table)
    if forecaster is not None:
        add("forecasts", lambda: explain.fan(forecaster, panel, sessions=sessions))
        add("attributions", lambda: explain.attributions(forecaster, panel, at=_next(made.get("forecasts"), panel)))
        add(
            "tree_attributions",
            lambda: explain.tree_attributions(forecaster, panel, at=_next(made.get("forecasts"), panel)),
        )
        if evaluate:
            _judge(add, forecaster, panel, made)
    if effect is not None:
        _effect(add, effect, panel, made, seed, reference, sd=sd, evaluate=evaluate)
        if forecaster is not None:
            add(
                "scenarios",
                lambda: explain.scenarios(
                    forecaster,
                    effect,
                    panel,
                    shift=shifts,
                    sd=sd,
                    sessions=sessions,
                    forecasts=made.get("forecasts"),
                    reference=reference,
                    random_state=seed,
                ),
            )
        left_out += list(effect.notes_)
    forecast_notes = [] if made.get("forecasts") is None else list(made["forecasts"].attrs.get("notes", []))
    every = [*notes, *panel.notes, *left_out, *forecast_notes]
    return ReportInputs(panel=panel, **made, reference=reference, notes=tuple(dict.fromkeys(every)), run=about)


def _steps(forecaster: TrajectoryForecaster | None) -> int:
    """Sessions ahead that the forecaster has seen in training, eight at most."""
    longest = SESSIONS if forecaster is None else float(forecaster.model_.trained_on["longest_gap"])
    return int(np.clip(np.floor(longest), 1, SESSIONS))


def _next(forecasts: pd.DataFrame | None, panel: Panel) -> pd.DataFrame | None:
    """Request for the next session of every patient."""
    if forecasts is None:
        return None
    first = forecasts[forecasts["step"] == 1]
    return first[[panel.columns.patient, panel.columns.session]].reset_index(drop=True)


def _judge(add: Callable[..., None], forecaster: TrajectoryForecaster, panel: Panel, made: dict[str, Any]) -> None:
    """Accuracy, calibration and the not-on-track signal."""
    passed = [k for k in LANDMARKS if int((panel.sessions_per_patient > k).sum()) >= FEWEST]
    fewer = [k for k in (2, 1) if int((panel.sessions_per_patient > k).sum()) >= FEWEST]
    landmarks = passed or fewer[:1]
    if landmarks and not {"evaluation", "calibration"} <= made.keys():
        held = held_out(forecaster, panel, landmarks=landmarks)
        add("evaluation", lambda: summarise(held, random_state=forecaster.random_state))
        add("calibration", lambda: calibration_table(held))
    signal = [k for k in landmarks if k >= 2]
    if signal:
        add("on_track", lambda: explain.on_track(forecaster, panel, landmarks=signal))


def _effect(
    add: Callable[..., None],
    effect: Any,
    panel: Panel,
    made: dict[str, Any],
    seed: int,
    reference: Panel | None,
    *,
    sd: SD,
    evaluate: bool,
) -> None:
    """Everything the effect can tell."""
    for name in ("effects", "average", "heterogeneity", "persistence", "state_sd"):
        made.setdefault(name, getattr(effect, f"{name}_"))
    add("hinge", lambda: explain.hinge(effect, panel, sd=sd, reference=reference, random_state=seed))
    if evaluate:
        add("validation", effect.validate)
        add("sensitivity", effect.sensitivity)
        add("subgroups", lambda: explain.subgroups(effect, panel, random_state=seed))
