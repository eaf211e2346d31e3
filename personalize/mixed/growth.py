"""The reference growth model of a panel: outcome on time, level and course differing between patients."""

from __future__ import annotations

from collections.abc import Sequence

from features.panel import Panel
from personalize.mixed.intake import learn_intake
from personalize.mixed.result import MixedFit
from personalize.mixed.rows import Clock, Method, clock, fit_rows
from personalize.mixed.sums import Array


def growth_model(
    panel: Panel,
    *,
    time: Clock = "log_session",
    baseline: Sequence[str] = (),
    slope: bool = True,
    correlated: bool = True,
    therapist: bool = True,
    method: Method = "REML",
) -> MixedFit:
    """Fit outcome ~ time * baseline + (1 + time | patient) + (1 | therapist).

    Parameters
    ----------
    panel : Panel
    time : {"log_session", "session", "log_time", "time"}
        See `personalize.mixed.rows.clock`.
    baseline : sequence of str
        Columns of the patients table, coded by `personalize.mixed.intake.learn_intake`; each shifts level and course.
    slope : bool
        Let the course differ between patients beyond baseline.
    correlated : bool
        Let level and course of a patient correlate.
    therapist : bool
        Add a therapist intercept where therapists can be told from patients.
    method : {"REML", "ML"}

    Returns
    -------
    MixedFit
        Terms "intercept", the name of ``time``, baseline terms and their products with time ("age:log_session").

    Raises
    ------
    NotEnoughData
        As `fit_mixed`.
    OptionError
        When an option or a baseline column is unknown.
    """
    when = clock(panel, time)
    intake = learn_intake(panel.patients, baseline, table=panel.names["patients"])
    traits = intake.transform(panel.patients)[panel.patient_index]
    fixed: dict[str, Array] = {time: when}
    fixed.update({name: traits[:, k] for k, name in enumerate(intake.terms)})
    fixed.update({f"{name}:{time}": traits[:, k] * when for k, name in enumerate(intake.terms)})
    return fit_rows(
        panel,
        fixed,
        [time] if slope else [],
        therapist=therapist,
        method=method,
        correlated=correlated,
        notes=intake.notes,
    )
