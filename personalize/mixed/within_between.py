"""The reference model of a within-person process: person mean and deviation from it as separate predictors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from features.errors import OptionError, listed
from features.panel import Panel
from personalize.mixed.result import MixedFit
from personalize.mixed.rows import Clock, Method, acting, clock, fit_rows, needs_process, split_by_patient
from personalize.mixed.sums import Array


def within_between_model(
    panel: Panel,
    *,
    time: Clock = "log_session",
    slopes: Sequence[Literal["time", "alliance"]] = ("time",),
    covariates: bool = True,
    correlated: bool = True,
    therapist: bool = True,
    method: Method = "REML",
) -> MixedFit:
    """Fit outcome ~ time + between + within + (1 + slopes | patient) + (1 | therapist).

    The process counts from the first outcome it can move: of the row itself with ``timing="before"``, of the patient's
    previous row with ``timing="after"``. It is split into the person's mean over the rows analysed ("wai_between")
    and the deviation from it ("wai_within"), so that differences between persons and changes within one do not mix
    in a single coefficient.

    Parameters
    ----------
    panel : Panel
    time : {"log_session", "session", "log_time", "time"}
    slopes : sequence of {"time", "alliance"}
        What differs between patients beside the level: the course, the effect of the deviation, both or neither.
    covariates : bool
        Split and add the panel's session covariates too, with the same timing.
    correlated, therapist, method
        As in `growth_model`.

    Returns
    -------
    MixedFit

    Raises
    ------
    NotEnoughData
        As `fit_mixed`, for instance where the process never varies within a patient.
    OptionError
        When the panel names no alliance, or an option is unknown.

    Notes
    -----
    A session with the outcome, the process or a covariate missing is left out and counted.
    """
    process = needs_process(panel)
    wrong = [name for name in slopes if name not in ("time", "alliance")]
    if wrong:
        raise OptionError(f"slopes={listed(wrong)} is not allowed; choose from 'time', 'alliance'.")
    when = clock(panel, time)
    names = [process, *(panel.columns.covariates if covariates else ())]
    values = {name: acting(panel, panel.sessions[name].to_numpy(dtype=float)) for name in names}
    used = np.isfinite(panel.outcome) & np.isfinite(when)
    for column in values.values():
        used &= np.isfinite(column)
    parts = {name: split_by_patient(panel, column, used) for name, column in values.items()}
    fixed: dict[str, Array] = {time: when}
    fixed.update({f"{name}_between": part[0] for name, part in parts.items()})
    fixed.update({f"{name}_within": part[1] for name, part in parts.items()})
    random = [time if name == "time" else f"{process}_within" for name in dict.fromkeys(slopes)]
    return fit_rows(panel, fixed, random, therapist=therapist, method=method, correlated=correlated)
