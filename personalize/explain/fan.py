"""Forecast of every session ahead, from the end of each patient's sessions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.errors import OptionError
from features.panel import Panel
from personalize.trajectories.distribution import QUANTILES
from personalize.trajectories.forecast import HorizonWarning, TrajectoryForecaster
from personalize.trajectories.landmarks import ends


def fan(
    forecaster: TrajectoryForecaster, panel: Panel, *, sessions: int = 8, quantiles: Sequence[float] = QUANTILES
) -> pd.DataFrame:
    """Forecast the next sessions of every patient, one row a step.

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Fitted.
    panel : Panel
        Histories so far; patients without sessions are forecast from intake.
    sessions : int
        Steps ahead, each one typical interval between sessions.
    quantiles : sequence of float

    Returns
    -------
    DataFrame
        The panel's patient and session columns, ``step`` (1 ... sessions), and the columns of
        `TrajectoryForecaster.predict`. Notes of the forecast stand in ``attrs["notes"]``.

    Raises
    ------
    OptionError
        When ``sessions`` is not a whole number from 1.
    """
    if isinstance(sessions, bool) or not isinstance(sessions, (int, np.integer)) or sessions < 1:
        raise OptionError(f"sessions={sessions!r} is not allowed; give a number of sessions from 1.")
    at = ahead(forecaster, panel, sessions)
    with warnings.catch_warnings():
        # the forecast widens there and says so in its notes; the fan's length is the same for everybody
        warnings.simplefilter("ignore", HorizonWarning)
        return forecaster.predict(panel, at, quantiles=quantiles)


def ahead(forecaster: TrajectoryForecaster, panel: Panel, sessions: int) -> pd.DataFrame:
    """Rows that ask for the next ``sessions`` sessions of every patient."""
    clock, columns = forecaster._fitted().clock, panel.columns
    last = ends(panel, clock).session
    step = np.tile(np.arange(1, sessions + 1), panel.n_patients)
    number = np.repeat(last, sessions) + step * clock.session_step
    floor = np.repeat(last, sessions) + step  # a session step below one never asks for the same session twice
    return pd.DataFrame(
        {
            columns.patient: np.repeat(panel.patient_ids.to_numpy(), sessions),
            columns.session: np.maximum(np.round(number), floor).astype(np.int64),
            "step": step,
        }
    )
